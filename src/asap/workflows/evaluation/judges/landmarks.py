"""The judge ``landmarks``: rules on the lengths and angles of a landmarker's keypoints."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from asap.benchmark.landmarks import RULES, examine
from asap.benchmark.verdict import Judge, JudgeInput, Verdict
from asap.core.hashing import digest_json
from asap.regions import landmarker
from asap.workflows.evaluation.judges.kinds import JudgeContext

__all__ = ["LandmarkSettings", "LandmarksJudge"]


@dataclass(frozen=True, kw_only=True)
class LandmarkSettings:
    """Settings of the judge ``landmarks``."""

    landmarker: str = "mediapipe"
    """Name in ``asap.regions.LANDMARKERS``."""


class LandmarksJudge(Judge):
    """See the module."""

    name = "landmarks"

    def __init__(self, settings: LandmarkSettings, context: JudgeContext) -> None:
        """Raises ``StoreError`` or ``MissingDependencyError`` if the landmarker is not on this machine."""
        del context
        self._landmarker = landmarker(settings.landmarker)

    @property
    def fingerprint(self) -> str:
        """Of the landmarker and the rules."""
        return digest_json({"landmarker": self._landmarker.fingerprint, "rules": RULES})

    def judge(self, images: Iterable[JudgeInput]) -> Iterator[Verdict]:
        """One verdict per image, in order."""
        for item in images:
            yield examine(self._landmarker.find(item.image), item.parts)
