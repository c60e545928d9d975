"""What raters said about images, looked up by the hash of an image's pixels: ratings, and preferences of two images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asap.benchmark.agreement import cohen_kappa
from asap.benchmark.rating import majority
from asap.core.errors import StoreError
from asap.stores.ratings import read_preferences, read_ratings

__all__ = ["Answers", "read_answers"]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The answers of all raters."""

    ratings: Mapping[str, Mapping[str, Mapping[str, Any]]]
    """By rater and digest of the image."""
    preferences: Mapping[str, Mapping[tuple[str, str], int | None]]
    """By rater and digests of two images: 0 or 1 for the better one, None for neither."""

    def rating(self, digest: str) -> float | None:
        """1 if most raters call the image wrong, 0 if right, 0.5 for as many of both; None if nobody could tell."""
        found = majority({name: rows[digest] for name, rows in self.ratings.items() if digest in rows}, least=1)
        return found.probability if found.fails is None else float(found.fails)

    def votes(self, model: str, base: str) -> dict[str, int]:
        """By rater: 1 for the model's image, -1 for the base's, 0 for neither."""
        found = {}
        for name, rows in self.preferences.items():
            for pair, sign in (((base, model), 1), ((model, base), -1)):
                if pair in rows:
                    better = rows[pair]
                    found[name] = 0 if better is None else sign * (2 * better - 1)
        return found

    def agreement(self, digests: Sequence[str]) -> dict[str, Any]:
        """On these images: ``raters`` (names), ``n`` (images that two could rate) and Cohen's ``kappa``."""
        decided = {
            name: {key: rows[key]["answer"] for key in digests if key in rows and rows[key]["answer"] != "cannot_tell"}
            for name, rows in self.ratings.items()
        }
        decided = {name: rows for name, rows in decided.items() if rows}
        shared = [key for key in dict.fromkeys(digests) if sum(key in rows for rows in decided.values()) > 1]
        table = [[rows.get(key) for rows in decided.values()] for key in shared]
        return {"raters": sorted(decided), "n": len(shared), "kappa": cohen_kappa(table)}


def read_answers(folders: Sequence[Path]) -> Answers:
    """The answers in several folders; a rater of the same name in two of them is one rater.

    Raises:
        StoreError: a folder holds no ratings, or a journal is damaged.
    """
    ratings: dict[str, dict[str, Mapping[str, Any]]] = {}
    preferences: dict[str, dict[tuple[str, str], int | None]] = {}
    for folder in folders:
        found = read_ratings(folder)
        if not found:
            raise StoreError(f"{folder} holds no ratings; make some with `asap bench rate` or `asap judge rate`")
        for name, rows in found.items():
            ratings.setdefault(name, {}).update(rows)
        for name, pairs in read_preferences(folder).items():
            preferences.setdefault(name, {}).update(pairs)
    return Answers(ratings=ratings, preferences=preferences)
