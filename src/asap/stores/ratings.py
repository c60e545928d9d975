"""Rating store: what people said of pictures, one journal a rater, appended and synced; raters never see each other.

DIR/
  RATER/ratings.jsonl   {"digest", "answer", "parts", "seconds", "time"}; the last line about a picture holds
  RATER/.lock           held by the one server of this rater
"""

import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from asap.core.errors import InputError
from asap.stores.journal import Journal, read_growing
from asap.stores.lock import WriterLock

__all__ = ["RatingJournal", "read_ratings"]

ROWS: Final = "ratings.jsonl"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class RatingJournal:
    """The ratings of one rater, held for writing; a context manager."""

    def __init__(self, folder: Path | str, rater: str) -> None:
        """Open the journal of ``rater``, begun if there is none; a line that a kill cut short is dropped.

        Raises:
            InputError: the name cannot name a folder everywhere, or the disk refuses.
            StoreError: this rater's server is running already, or the journal is damaged.
        """
        if not _NAME.fullmatch(rater):
            raise InputError(
                f"a rater's name has lower-case letters, digits, '.', '_' and '-', at most 64, got {rater!r}"
            )
        place = Path(folder) / rater
        self._lock = WriterLock(place)
        try:
            self._journal = Journal(place / ROWS)
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> "RatingJournal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._journal.close()
        self._lock.release()

    def standing(self) -> dict[str, dict[str, Any]]:
        """The last line about each picture, by digest."""
        return {str(row["digest"]): row for row in self._journal.rows}

    def append(self, row: Mapping[str, object]) -> None:
        """Add a line; when this returns it survives a kill. Raises ``InputError`` if the disk refuses."""
        self._journal.append(row)


def read_ratings(folder: Path | str) -> dict[str, dict[str, dict[str, Any]]]:
    """What every rater holds of each picture, by rater and digest, also while they are at work.

    Raises:
        StoreError: a journal is damaged.
    """
    found = {}
    for path in sorted(Path(folder).glob(f"*/{ROWS}")):
        found[path.parent.name] = {str(row["digest"]): row for row in read_growing(path)}
    return found
