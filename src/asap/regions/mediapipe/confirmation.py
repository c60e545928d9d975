"""What holds for hands, faces and bodies alike: a second look must confirm the first, and nobody is counted twice."""

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import numpy as np

from asap.core.records import FloatArray

__all__ = ["Detected", "confirmed", "deduplicated"]


class Detected(Protocol):
    """A hand, a face or a body as its model sees it."""

    @property
    def presence(self) -> float:
        """In [0, 1], that it is there."""
        ...

    @property
    def size(self) -> float:
        """Pixels."""
        ...

    @property
    def anchor(self) -> FloatArray:
        """(N, 2) pixels: points that two looks at the same thing agree on."""
        ...


S = TypeVar("S", bound=Detected)


def confirmed(first: Iterable[S], look_again: Callable[[S], S], presence: float) -> list[S]:
    """The second looks that are sure by ``presence``; hopeless first looks get none."""
    again = (look_again(one) for one in first if one.presence > presence / 2)
    return [one for one in again if one.presence >= presence]


def deduplicated(found: Iterable[S], same: float) -> list[S]:
    """Without repetitions, surest first: two are one where they lie closer on the mean than ``same`` of their size."""
    kept: list[S] = []
    for one in sorted(found, key=lambda seen: -seen.presence):
        gaps = [
            float(np.linalg.norm(one.anchor - other.anchor, axis=1).mean()) / max(other.size, 1.0) for other in kept
        ]
        if min(gaps, default=1.0) > same:
            kept.append(one)
    return kept
