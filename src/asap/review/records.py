"""Records and protocols of the review: the facts of a pair, one decision, and access to pairs and journal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from asap.core.vocabulary import OPERATIONS

__all__ = ["DECISIONS", "ERRORS", "NOT_ANATOMY", "Decision", "Decisions", "PairFacts", "Pairs", "Row"]

Row = Mapping[str, object]
"""One line of a journal: plain values."""

DECISIONS: Final = ("accept", "reject", "unsure")
NOT_ANATOMY: Final = ("not_visible", "looks_pasted", "leak", "natural")
"""Error types besides operations: the change is not visible, its seam is, something else changed too, or both sides are
correct.
"""
ERRORS: Final = (*OPERATIONS, *NOT_ANATOMY)


@dataclass(frozen=True, kw_only=True)
class PairFacts:
    """The metadata of a pair; the fields are columns of the pair store."""

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
        """All pairs, in display order."""

    def image(self, uid: str, name: str) -> bytes:
        """PNG bytes; ``name`` is chosen, rejected or mask. Raises ``KeyError`` for an unknown uid."""


class Decisions(Protocol):
    """The journal of one reviewer."""

    def read(self) -> Sequence[Row]:
        """All lines so far, oldest first."""

    def append(self, row: Row) -> None:
        """Append one line durably. Raises ``InputError`` if it could not be written."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The decision of one reviewer on one pair."""

    reviewer: str
    uid: str
    digest: str
    """Digest of the pair that was shown; a decision on a rebuilt pair does not count."""
    decision: str
    """One of ``DECISIONS``."""
    error: str
    """One of ``ERRORS``, or empty."""
    blind: bool
    """Whether metadata and the decisions of others were hidden."""
    left: str
    """The image shown on the left: chosen or rejected."""
    seconds: float
    """Time from the display of the pair to the decision, while the page was visible."""
    time: str
    """UTC, ISO 8601."""
