"""Review store: what people said of the pairs of one pair store, beside it, so that the pairs stay as they are.

DIR.reviews/
  REVIEWER/decisions.jsonl    one line a decision or undo, appended and synced
  REVIEWER/.lock              held by the one server of this reviewer
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from asap.core.errors import InputError
from asap.stores.journal import Journal, read_growing
from asap.stores.lock import WriterLock

__all__ = ["ReviewJournal", "read_reviews", "reviews_folder"]

ROWS: Final = "decisions.jsonl"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def reviews_folder(pairs: Path | str) -> Path:
    """Where the reviews of the pair store at ``pairs`` lie."""
    store = Path(pairs).resolve()
    return store.with_name(f"{store.name}.reviews")


class ReviewJournal:
    """The decisions of one reviewer, held for writing; a context manager."""

    def __init__(self, pairs: Path | str, reviewer: str) -> None:
        """Open the journal of ``reviewer``, begun if there is none; a line that a kill cut short is dropped.

        Raises:
            InputError: the name cannot name a folder everywhere, or the disk refuses.
            StoreError: this reviewer's server is running already, or the journal is damaged.
        """
        if not _NAME.fullmatch(reviewer):
            raise InputError(
                f"a reviewer's name has lower-case letters, digits, '.', '_' and '-', at most 64, got {reviewer!r}; "
                "choose one with --reviewer"
            )
        folder = reviews_folder(pairs) / reviewer
        self._lock = WriterLock(folder)
        try:
            self._journal = Journal(folder / ROWS)
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> "ReviewJournal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._journal.close()
        self._lock.release()

    def read(self) -> Sequence[Mapping[str, Any]]:
        """All lines, oldest first."""
        return self._journal.rows

    def append(self, row: Mapping[str, object]) -> None:
        """Add a line; when this returns it survives a kill. Raises ``InputError`` if the disk refuses."""
        self._journal.append(row)


def read_reviews(pairs: Path | str) -> dict[str, list[dict[str, Any]]]:
    """The lines of every reviewer by name, also while they are at work; empty when nobody has reviewed.

    Raises:
        StoreError: a journal is damaged.
    """
    found = sorted(reviews_folder(pairs).glob(f"*/{ROWS}"))
    return {path.parent.name: read_growing(path) for path in found}
