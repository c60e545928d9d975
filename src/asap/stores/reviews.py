"""Review store: what people said of the pairs of one pair store, beside it, so that the pairs stay as they are.

DIR.reviews/
  REVIEWER/decisions.jsonl    one line a decision or undo, appended and synced
  REVIEWER/.lock              held by the one server of this reviewer
"""

from pathlib import Path
from typing import Any, Final

from asap.stores.journal import read_growing
from asap.stores.personal import PersonalJournal

__all__ = ["ReviewJournal", "read_reviews", "reviews_folder"]

ROWS: Final = "decisions.jsonl"


def reviews_folder(pairs: Path | str) -> Path:
    """Where the reviews of the pair store at ``pairs`` lie."""
    store = Path(pairs).resolve()
    return store.with_name(f"{store.name}.reviews")


class ReviewJournal(PersonalJournal):
    """The decisions of one reviewer; errors as in ``PersonalJournal``."""

    def __init__(self, pairs: Path | str, reviewer: str) -> None:
        """Open the journal of ``reviewer``, begun if there is none."""
        super().__init__(reviews_folder(pairs), reviewer, ROWS, "reviewer")


def read_reviews(pairs: Path | str) -> dict[str, list[dict[str, Any]]]:
    """The lines of every reviewer by name, also while they are at work; empty when nobody has reviewed.

    Raises:
        StoreError: a journal is damaged.
    """
    found = sorted(reviews_folder(pairs).glob(f"*/{ROWS}"))
    return {path.parent.name: read_growing(path) for path in found}
