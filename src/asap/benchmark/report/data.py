"""What a report shows, as plain records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Curve", "Example", "PairView", "Point", "ReportData", "Shown"]

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class PairView:
    """A training pair to look at."""

    chosen: Picture
    """(S, S, 3)."""
    rejected: Picture
    """(S, S, 3)."""
    mask: Picture
    """(S, S) 255 inside."""
    prompt: str
    label: str
    """What was done: part, operation, severity."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One quantity of one run over training steps."""

    method: str
    quantity: str
    steps: Sequence[float]
    values: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One image and its verdict."""

    image: Picture
    """(S, S, 3)."""
    fails: bool | None
    probability: float | None
    """Of wrong anatomy, None if the judge does not say."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """The same prompt and seed for several models, in the order of the table."""

    prompt: str
    category: str
    seed: int
    shown: Mapping[str, Shown]


@dataclass(frozen=True, kw_only=True)
class Point:
    """One model of a sweep: how far it moved and how often it errs."""

    label: str
    drift: float
    aer: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """Everything on the page; empty parts are left out of it."""

    title: str
    base: str
    """Name of the base model among ``models``."""
    models: Mapping[str, Mapping[str, Any]]
    """Name to what ``summary.summarize`` gives, in the order of the table."""
    calibration: Mapping[str, Any]
    """What ``judge.calibrate`` gives."""
    pairs: Sequence[PairView] = ()
    curves: Sequence[Curve] = ()
    examples: Sequence[Example] = ()
    sweep: Mapping[str, Sequence[Point]] = field(default_factory=dict)
    """Method to its points; the models' own points if empty."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Lines of the foot: versions, hashes, settings."""
