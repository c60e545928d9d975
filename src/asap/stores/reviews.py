"""Review store: decisions of people on the pairs of one store, in a folder beside it; the pairs are not changed.

DIR.reviews/
  REVIEWER/decisions.jsonl    one line per decision or undo, appended and synced
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
        """Open the journal of ``reviewer``; a new one is started if there is none."""
        super().__init__(reviews_folder(pairs), reviewer, ROWS, "reviewer")


def read_reviews(pairs: Path | str) -> dict[str, list[dict[str, Any]]]:
    """The lines of every reviewer by name, also while they are reviewing; empty if there are no reviews.

    Raises:
        StoreError: a journal is damaged.
    """
    found = sorted(reviews_folder(pairs).glob(f"*/{ROWS}"))
    return {path.parent.name: read_growing(path) for path in found}
