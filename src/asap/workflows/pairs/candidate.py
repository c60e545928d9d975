"""What a producer hands to the builder: candidates, refusals, and what is known of a photograph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from asap.core.photos import PartRegion
from asap.core.records import BoolArray, ByteArray, Edit, FloatArray, SceneTruth

__all__ = ["Candidate", "Group", "Refusal"]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A proposed pair, before the gates. Arrays are (H, W, ...)."""

    uid: str
    """Stable id, derived from seed and index."""
    chosen: ByteArray
    """(H, W, 3) sRGB."""
    rejected: ByteArray
    """(H, W, 3) sRGB."""
    mask: ByteArray | None = None
    """(H, W) 255 where the sides may differ; None to derive it from the difference of the sides."""
    regions: ByteArray
    """(H, W) part-id map of the chosen image."""
    edit: Edit
    truth: SceneTruth
    keypoints: FloatArray
    """(N, 3) x, y in pixels and visibility, order of ``wholebody.KEYPOINTS``."""
    split_by: str
    """The split follows from it: the person, or the hash of the photograph."""
    recipe: Mapping[str, float | int | str] = field(default_factory=dict)
    """How it was made; the builder adds seed, index, attempt and the perceptual hash."""
    source: str = ""
    """Name of the photograph; empty for rendered people."""
    parents: tuple[str, ...] = ()
    touched: BoolArray | None = None
    """(H, W) True where either side shows skin that the edit touched; None if unknown."""
    screened: PartRegion | None = None
    """The part that a screen looks at; None for pairs that no screen judges."""


@dataclass(frozen=True)
class Refusal:
    """Why there is no candidate for an index."""

    reason: str
    """Of ``vocabulary.GATE_REASONS``, or a word that is counted like one."""
    final: bool = False
    """No further attempt at this index is worth it."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Consecutive indices of one photograph. They share a perceptual hash, and the store keeps what became of them."""

    indices: Sequence[int]
    code: int | None = None
    """Perceptual hash of the photograph; None where it could not be read."""
    facts: Mapping[str, object]
    """Plain values for the store: number, name, digest, notes..."""
    fault: str = ""
    """Why no pair can be made of it; counted once in place of the refusals of its indices."""
