"""The protocol of judges: images in, one verdict each out. There is no default judge."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from asap.benchmark.domain import Domain
from asap.core.errors import InputError
from asap.core.records import ByteArray

__all__ = ["Comparison", "Judge", "JudgeInput", "Verdict"]


@dataclass(frozen=True, kw_only=True)
class JudgeInput:
    """One image to be judged, and what it was asked to show."""

    key: tuple[str, int]
    """Prompt id and seed, or another name of the image."""
    image: ByteArray = field(repr=False)
    """(H, W, 3) sRGB."""
    prompt: str = ""
    parts: tuple[str, ...] = ()
    """Parts that the prompt asks to see, of ``vocabulary.PARTS``."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A judge's verdict on one image."""

    fails: bool | None
    """True: wrong anatomy; None: not scored, see ``reason``."""
    probability: float | None
    """Probability of wrong anatomy in [0, 1]; see ``Judge.threshold``. None if the judge does not say."""
    parts: dict[str, dict[str, float]]
    """For each part ``{"visible": p, "wrong": p}``."""
    not_visible: tuple[str, ...]
    """Parts that the prompt asks for and the judge does not see in the image."""
    attributes: dict[str, str]
    reason: str = ""
    """Why the image fails or is not scored."""
    error: bool = False
    """Not scored because the judge failed: no reply, or one that cannot be read. It is never counted as a pass."""
    person: npt.NDArray[np.float32] | None = field(default=None, repr=False)
    """(G, G) probability of a person in each cell of a grid; None if the judge does not say."""
    details: dict[str, Any] = field(default_factory=dict)
    """Votes and claimed defects with their boxes, as JSON values."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A pairwise judge's verdict on two images of one prompt and seed."""

    key: tuple[str, int]
    outcome: str
    """win, tie or lose, of the first image (the model's), or error."""
    votes: tuple[tuple[str | None, str | None], ...]
    """For each vote the answers in both orders: first, second, tie, or None if the judge failed."""
    reason: str = ""
    """The first fault, where votes failed."""


class Judge(ABC):
    """An instrument that says whether anatomy is wrong.

    A judge implements ``fingerprint`` and ``judge``. The other members state what a workflow must know of it; a judge
    overrides those whose default is not true of it.
    """

    name: str
    """Its name in the registry of judges."""
    threshold: float = 0.5
    """An image fails if its probability is above; 0.5 for a majority of votes."""
    trained_on: str | None = None
    """Content hash of the pairs that it was trained on; no model aligned with these pairs may be judged by it."""
    made_for: Domain | None = None
    """The images that it was trained for; on others it gives no error rate. None for a judge that takes any image."""
    held_out: tuple[str, ...] = ()
    """Degradations that were left out of its training, reported apart when it is calibrated."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of everything that decides a verdict: weights or model name, questions, thresholds."""

    @abstractmethod
    def judge(self, images: Iterable[JudgeInput]) -> Iterator[Verdict]:
        """One verdict per image, in order; images are taken from the iterable only as fast as they are judged."""

    def config(self) -> Mapping[str, object]:
        """What a store of verdicts records of it beside its fingerprint."""
        return {}

    def calibration(self) -> Mapping[str, Any] | None:
        """The calibration that comes with it, None if it has none of its own."""
        return None

    def estimate(self, images: Sequence[JudgeInput]) -> Mapping[str, object]:
        """What judging these images takes, for instance calls and price; empty where it costs only time."""
        del images
        return {}

    def compare(self, pairs: Iterable[tuple[JudgeInput, JudgeInput]]) -> Iterator[Comparison]:
        """Compare the images of each pair (model, base) in both orders; of pairwise judges only.

        Raises:
            InputError: the judge scores one image at a time.
        """
        del pairs
        raise InputError(f"the judge {self.name} scores one image at a time; use a pairwise judge, such as vlm")
