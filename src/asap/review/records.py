"""What crosses the walls of this room: a pair as a reviewer meets it, one decision, and the two protocols."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from asap.core.vocabulary import OPERATIONS

__all__ = ["DECISIONS", "ERRORS", "NOT_ANATOMY", "Decision", "Decisions", "PairFacts", "Pairs", "Row"]

Row = Mapping[str, object]
"""One line of a journal: plain values."""

DECISIONS: Final = ("accept", "reject", "unsure")
NOT_ANATOMY: Final = ("not_visible", "looks_pasted", "leak", "natural")
"""What a pair may suffer from besides an operation: the change cannot be seen, its seam can, something else changed
too, or both sides are right."""
ERRORS: Final = (*OPERATIONS, *NOT_ANATOMY)


@dataclass(frozen=True, kw_only=True)
class PairFacts:
    """What is known of a pair without its images; the fields are columns of the pair store."""

    uid: str
    digest: str
    prompt: str
    kind: str
    part: str
    side: str
    operation: str
    severity: int
    category: str
    split: str
    source: str
    person: str
    box: tuple[int, int, int, int]
    """x0, y0, x1, y1 of the mask in pixels, end exclusive; zeros for an empty mask."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""


class Pairs(Protocol):
    """The pairs to be reviewed."""

    def facts(self) -> Sequence[PairFacts]:
        """All pairs, in the order in which they are shown."""

    def picture(self, uid: str, name: str) -> bytes:
        """PNG bytes; ``name`` is chosen, rejected or mask. Raises ``KeyError`` for a uid that is not there."""


class Decisions(Protocol):
    """The journal of one reviewer."""

    def read(self) -> Sequence[Row]:
        """All lines so far, oldest first."""

    def append(self, row: Row) -> None:
        """Add one line; when this returns it survives a kill. Raises ``InputError`` if it could not be kept."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What one reviewer said of one pair."""

    reviewer: str
    uid: str
    digest: str
    """Digest of the pair that was seen; a decision on a pair made anew does not count."""
    decision: str
    """One of ``DECISIONS``."""
    error: str
    """One of ``ERRORS``, or empty."""
    blind: bool
    """Whether metadata and the decisions of others were hidden."""
    left: str
    """Which image was shown on the left: chosen or rejected."""
    seconds: float
    """Time from the pair's appearance to the decision, while the page was in view."""
    time: str
    """UTC, ISO 8601."""
