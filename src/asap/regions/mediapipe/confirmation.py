"""Rules for hands, faces and bodies: a second pass must confirm the first, and duplicates are removed."""

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import numpy as np

from asap.core.records import FloatArray

__all__ = ["Detected", "confirmed", "deduplicated"]


class Detected(Protocol):
    """A hand, a face or a body as its model returns it."""

    @property
    def presence(self) -> float:
        """Probability that it is present."""
        ...

    @property
    def size(self) -> float:
        """Pixels."""
        ...

    @property
    def anchor(self) -> FloatArray:
        """(N, 2) pixels: points on which two passes over the same thing agree."""
        ...


S = TypeVar("S", bound=Detected)


def confirmed(first: Iterable[S], look_again: Callable[[S], S], presence: float) -> list[S]:
    """The second passes with at least ``presence``; first passes below half of it get none."""
    again = (look_again(one) for one in first if one.presence > presence / 2)
    return [one for one in again if one.presence >= presence]


def deduplicated(found: Iterable[S], same: float) -> list[S]:
    """Remove duplicates, most certain first: those with a mean distance below ``same`` times their size."""
    kept: list[S] = []
    for one in sorted(found, key=lambda seen: -seen.presence):
        gaps = [
            float(np.linalg.norm(one.anchor - other.anchor, axis=1).mean()) / max(other.size, 1.0) for other in kept
        ]
        if min(gaps, default=1.0) > same:
            kept.append(one)
    return kept
