"""Rating store: ratings of images by people, one journal per rater, appended and synced; raters never see each other.

DIR/
  RATER/ratings.jsonl   {"digest", "answer", "parts", "seconds", "time"}; the last line about an image holds
  RATER/preferences.jsonl  {"images": [DIGEST, DIGEST], "better": 0, 1 or null, "time"}; which of two images is better
  RATER/.lock           held by the one server of this rater
"""

from pathlib import Path
from typing import Any, Final

from asap.stores.journal import read_growing
from asap.stores.personal import PersonalJournal

__all__ = ["PreferenceJournal", "RatingJournal", "read_preferences", "read_ratings"]

ROWS: Final = "ratings.jsonl"
PREFERENCES: Final = "preferences.jsonl"


class RatingJournal(PersonalJournal):
    """The ratings of one rater; errors as in ``PersonalJournal``."""

    def __init__(self, folder: Path | str, rater: str) -> None:
        """Open the journal of ``rater``; a new one is started if there is none."""
        super().__init__(Path(folder), rater, ROWS, "rater")

    def standing(self) -> dict[str, dict[str, Any]]:
        """The last line about each image, by digest."""
        return {str(row["digest"]): dict(row) for row in self.read()}


class PreferenceJournal(PersonalJournal):
    """Which of two images one rater prefers; errors as in ``PersonalJournal``."""

    def __init__(self, folder: Path | str, rater: str) -> None:
        """Open the journal of ``rater``; a new one is started if there is none."""
        super().__init__(Path(folder), rater, PREFERENCES, "rater")


def read_preferences(folder: Path | str) -> dict[str, dict[tuple[str, str], int | None]]:
    """The last preference of every rater on each two images: 0 or 1 for the better one, None for a tie.

    Raises:
        StoreError: a journal is damaged.
    """
    found = {}
    for path in sorted(Path(folder).glob(f"*/{PREFERENCES}")):
        rows = read_growing(path)
        found[path.parent.name] = {(row["images"][0], row["images"][1]): row["better"] for row in rows}
    return found


def read_ratings(folder: Path | str) -> dict[str, dict[str, dict[str, Any]]]:
    """The last rating of each image, by rater and digest, also while raters are at work.

    Raises:
        StoreError: a journal is damaged.
    """
    found = {}
    for path in sorted(Path(folder).glob(f"*/{ROWS}")):
        found[path.parent.name] = {str(row["digest"]): row for row in read_growing(path)}
    return found
