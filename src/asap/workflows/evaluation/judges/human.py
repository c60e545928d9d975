"""The judge ``human``: what raters said on the page of ``asap judge rate``."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from asap.benchmark.rating import majority
from asap.benchmark.verdict import Judge, JudgeInput, Verdict
from asap.core.errors import StoreError
from asap.core.hashing import digest, digest_json
from asap.stores.ratings import read_ratings
from asap.workflows.evaluation.judges.kinds import JudgeContext

__all__ = ["HumanJudge", "HumanSettings"]


@dataclass(frozen=True, kw_only=True)
class HumanSettings:
    """Settings of the judge ``human``."""

    ratings: str
    """Folder that ``asap judge rate`` wrote."""
    least: int = 1
    """Smallest number of raters who must have seen an image."""


class HumanJudge(Judge):
    """The majority of the raters; ratings are found by the hash of an image's pixels."""

    name = "human"

    def __init__(self, settings: HumanSettings, context: JudgeContext) -> None:
        """Raises ``StoreError`` if there are no ratings."""
        del context
        self._least, self._ratings = settings.least, read_ratings(settings.ratings)
        if not self._ratings:
            raise StoreError(f"{settings.ratings} holds no ratings; begin with `asap judge rate`")

    @property
    def fingerprint(self) -> str:
        """Of who the raters are and how many must agree; not of their answers."""
        return digest_json({"raters": sorted(self._ratings), "least": self._least})

    def judge(self, images: Iterable[JudgeInput]) -> Iterator[Verdict]:
        """One verdict per image, in order."""
        for item in images:
            name = digest(str(item.image.shape).encode() + np.ascontiguousarray(item.image).tobytes())
            yield majority({rater: rows[name] for rater, rows in self._ratings.items() if name in rows}, self._least)
