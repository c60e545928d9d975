"""What every judge is: images in, one verdict each out, and nothing else. There is no default judge."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from asap.core.records import ByteArray

__all__ = ["Judge", "Picture", "Verdict"]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One image to be judged, and what it was asked to show."""

    key: tuple[str, int]
    """Prompt id and seed, or whatever else names it."""
    image: ByteArray = field(repr=False)
    """(H, W, 3) sRGB."""
    prompt: str = ""
    parts: tuple[str, ...] = ()
    """Parts that the prompt asks to see, of ``vocabulary.PARTS``."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is kept of one image."""

    fails: bool | None
    """True: wrong anatomy; None: not scored, see ``reason``."""
    probability: float | None
    """How sure the judge is of wrong anatomy, in [0, 1]; the threshold on it need not be 0.5. None if it does not say.
    """
    parts: dict[str, dict[str, float]]
    """For each part ``{"visible": p, "wrong": p}``."""
    not_visible: tuple[str, ...]
    """Parts that the prompt asks for and the judge does not see."""
    attributes: dict[str, str]
    reason: str = ""
    """Why it fails, or is not scored, in words."""
    error: bool = False
    """Not scored because the judge itself failed: no reply, or one that cannot be read. Never a pass."""
    person: npt.NDArray[np.float32] | None = field(default=None, repr=False)
    """(G, G) probability that a person is there; None if the judge does not say."""
    details: dict[str, Any] = field(default_factory=dict)
    """Votes, claimed defects with their boxes: plain values."""


class Judge(Protocol):
    """An instrument that says whether anatomy is wrong."""

    @property
    def name(self) -> str:
        """Its name in the registry of judges."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides a verdict: weights or model name, questions, thresholds."""
        ...

    def judge(self, pictures: Iterable[Picture]) -> Iterator[Verdict]:
        """One verdict per image, in order; an image is drawn from ``pictures`` when there is room for it."""
        ...
