"""The judge ``learned``: a trained network, the packaged one or one in a folder."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from asap.benchmark.domain import Domain
from asap.benchmark.judge import CALIBRATION, judge_folder, predict, read_calibration, verdicts
from asap.benchmark.verdict import Judge, JudgeInput, Verdict
from asap.workflows.evaluation.judges.kinds import JudgeContext
from asap.workflows.evaluation.learned import judge_named

__all__ = ["LearnedJudge", "LearnedSettings"]

BATCH: Final = 64
CHUNK: Final = 16
"""Images per forward pass, always: kernels may round differently at another number, and a verdict must not depend on
where a run was stopped."""


@dataclass(frozen=True, kw_only=True)
class LearnedSettings:
    """Settings of the judge ``learned``."""

    folder: str = "learned"
    """``learned`` is the packaged judge, anything else the folder of a trained one."""


class LearnedJudge(Judge):
    """The network of ``asap judge train``."""

    name = "learned"

    def __init__(self, settings: LearnedSettings, context: JudgeContext) -> None:
        """Raises ``StoreError`` if there is no complete judge, ``InputError`` if this machine lacks the device."""
        self._folder, self._stored = judge_folder(settings.folder), judge_named(settings.folder, context.device)
        notes = self._stored.settings.get("notes", {})
        self.threshold = 1 / (1 + math.exp(-self._stored.threshold))
        self.trained_on, self.held_out = notes.get("pairs"), tuple(notes.get("held_out", ()))
        models = (str(notes["model"]),) if "model" in notes else ()
        self.made_for = Domain(kind="rendered", models=models, size=self._stored.network.spec.size)

    @property
    def fingerprint(self) -> str:
        """Of weights, layout and threshold."""
        return self._stored.fingerprint

    def config(self) -> Mapping[str, object]:
        """The threshold on the logit, at which the verdicts are decided."""
        return {"threshold": self._stored.threshold}

    def calibration(self) -> Mapping[str, Any] | None:
        """The one beside the weights; it is copied to the verdicts, because the folder may get new weights."""
        return read_calibration(self._folder, self.fingerprint) if (self._folder / CALIBRATION).is_file() else None

    def judge(self, images: Iterable[JudgeInput]) -> Iterator[Verdict]:
        """One verdict per image, in order; images of one size are batched."""
        batch: list[JudgeInput] = []
        for item in images:
            if batch and (len(batch) == BATCH or item.image.shape != batch[0].image.shape):
                yield from self._judge_batch(batch)
                batch = []
            batch.append(item)
        if batch:
            yield from self._judge_batch(batch)

    def _judge_batch(self, rows: list[JudgeInput]) -> list[Verdict]:
        images = np.stack([row.image for row in rows] + [rows[-1].image] * (-len(rows) % CHUNK))
        predictions = predict(self._stored.network, images, batch=CHUNK)
        return verdicts(predictions, self._stored.threshold, [row.parts for row in rows])
