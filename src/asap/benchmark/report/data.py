"""Records that a comparison page shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from asap.benchmark.summary import Judged
from asap.core.records import ByteArray

__all__ = ["Case", "Comparison", "Curve", "PairView", "Point"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """The same prompt and seed for every model."""

    prompt_id: str
    prompt: str
    category: str
    seed: int
    verdicts: Mapping[str, Judged]
    """By model; a model that lacks the image has none."""


@dataclass(frozen=True, kw_only=True)
class PairView:
    """A training pair to look at."""

    chosen: ByteArray
    """(H, W, 3)."""
    rejected: ByteArray
    """(H, W, 3)."""
    mask: ByteArray
    """(H, W) 255 inside."""
    prompt: str
    label: str
    """Part, operation and severity of the edit."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One logged quantity of one model over its training steps."""

    model: str
    quantity: str
    steps: Sequence[float]
    values: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Point:
    """One checkpoint of a sweep: its drift and its AER with the interval, all in [0, 1]."""

    label: str
    drift: float
    aer: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything on the page but the images; empty parts are left out of it."""

    title: str
    base: str
    models: Mapping[str, Mapping[str, Any]]
    """Name to the result of ``summary.summarize`` with that of ``evidence.evidence`` as ``evidence``, base first."""
    quality: Mapping[str, Mapping[str, Any]]
    """Name to its measures of preserved quality, each an estimate; missing ones are not measured."""
    cases: Sequence[Case]
    judge: Mapping[str, Any]
    """``name``, ``fingerprint``, ``domain`` (what it is calibrated on, in words), ``in_domain`` (whether that holds for
    these images) and ``images`` (their domain, in words)."""
    calibration: Mapping[str, Any] | None
    """Result of ``judge.calibrate`` for this judge; None where it is not calibrated."""
    suite: Mapping[str, Any]
    """``name``, ``digest``, ``seeds``, ``prompts``."""
    agreement: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name to the result of ``agreement.agreement`` on its verdicts, and ``judges`` where several judged the run."""
    ratings: Mapping[str, Any] = field(default_factory=dict)
    """Of blind raters: ``raters`` (names), ``n`` (images that two rated) and ``kappa``."""
    preference: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name to the result of ``rating.preference`` against the base."""
    flags: Sequence[str] = ()
    """Warnings to read before the numbers."""
    pairs: Sequence[PairView] = ()
    curves: Sequence[Curve] = ()
    sweep: Mapping[str, Sequence[Point]] = field(default_factory=dict)
    """Method to its checkpoints; the models themselves if empty."""
    lineage: Sequence[Sequence[str]] = ()
    """Rows of model, kind of artefact, content hash, instruments: what each model's images were made from."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Versions and hashes for the foot of the page."""
