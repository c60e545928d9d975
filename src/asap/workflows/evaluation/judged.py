"""Verdicts joined with the images that they are about."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from asap.benchmark.domain import Domain
from asap.benchmark.drift import PixelDrift
from asap.benchmark.judge import CALIBRATION, judge_folder, read_calibration
from asap.benchmark.lineage import refuse_own_examiner
from asap.benchmark.summary import Judged
from asap.core.errors import InputError, StoreError
from asap.core.manifest import Manifest
from asap.core.records import ByteArray, FloatArray
from asap.stores.generations import GenerationStore
from asap.stores.pairs import PairStore
from asap.stores.verdicts import VerdictRow, VerdictStore
from asap.workflows.evaluation.domains import run_domain
from asap.workflows.evaluation.raters import Answers
from asap.workflows.runtime.lineage import ancestors

__all__ = ["JudgedRun", "calibration_of", "judge_name", "open_judged", "person_mask", "pixel_drift", "reference_images"]

HUMAN: Final = "human"
"""The judge whose verdicts are ratings."""


@dataclass(frozen=True, kw_only=True)
class JudgedRun:
    """The verdicts of one judge on one model's images, and these images."""

    verdicts: VerdictStore
    images: GenerationStore

    def image(self, row: VerdictRow) -> ByteArray:
        """The image of a verdict, uint8 (H, W, 3); raises ``StoreError`` if it is missing or damaged."""
        return self.images.image(self.images.get(*row.key))

    @cached_property
    def domain(self) -> Domain:
        """The kind of these images."""
        return run_domain(self.images)

    @property
    def made_for(self) -> Domain | None:
        """The images that the judge was trained for; None for a judge that was not trained for any."""
        manifest = self.verdicts.manifest
        if "made_for" in manifest.notes:
            return Domain.from_json(cast("dict[str, Any]", manifest.notes["made_for"]))
        return Domain(kind="rendered") if manifest.config.get("taught_on") else None

    def rows(self, answers: Answers | None = None) -> list[Judged]:
        """Every verdict with its prompt and rating, in order of prompt and seed.

        Args:
            answers: of raters; the verdicts of the judge ``human`` are ratings themselves.
        """
        return [self._judged(row, answers) for row in self.verdicts.rows]

    def _judged(self, row: VerdictRow, answers: Answers | None) -> Judged:
        generation = self.images.get(*row.key)
        probability = row.extra.get("probability")
        rating = answers.rating(generation.digest) if answers else None
        if rating is None and row.fails is not None and judge_name(self.verdicts.manifest.config) == HUMAN:
            rating = float(row.fails)
        return Judged(
            prompt_id=row.prompt_id,
            seed=row.seed,
            prompt=generation.prompt,
            category=row.category,
            fails=row.fails,
            probability=None if probability is None else float(probability),
            wanted_parts=tuple(generation.extra.get("parts", ())),
            hidden_parts=tuple(row.extra.get("not_visible", ())),
            wanted=generation.extra.get("attributes", {}),
            seen=row.attributes,
            error=bool(row.extra.get("error", False)),
            reason=_reason(row),
            rating=rating,
        )


def _reason(row: VerdictRow) -> str:
    """The judge's reason; for a judge that gives none, the parts that are most likely wrong."""
    if row.extra.get("reason"):
        return str(row.extra["reason"])
    if not row.fails:
        return ""
    parts = [(one["wrong"], part) for part, one in row.parts.items() if one.get("visible", 0) >= 0.5 and "wrong" in one]
    named = [f"{part} {100 * probability:.0f} %" for probability, part in sorted(parts, reverse=True)[:2]]
    return "most likely wrong: " + ", ".join(named) if named else ""


def open_judged(folder: Path) -> JudgedRun:
    """The verdicts in ``folder`` with their images.

    Raises:
        StoreError: verdicts or images cannot be read, or do not belong together.
        InputError: the judge also picked the pairs that the model was aligned with, or was trained on them.
    """
    verdicts = VerdictStore.open(folder)
    config, trained_on = verdicts.manifest.config, verdicts.manifest.config.get("taught_on")
    refuse_own_examiner(
        str(config["fingerprint"]),
        ancestors(verdicts.manifest),
        taught_on=None if trained_on is None else str(trained_on),
        name=judge_name(config),
    )
    images = GenerationStore.open(_images_of(verdicts.manifest))
    if images.content_hash != config["generations"]:
        raise StoreError(f"{images.root} has changed since {folder} judged it; judge it again")
    return JudgedRun(verdicts=verdicts, images=images)


def judge_name(config: Any) -> str:  # noqa: ANN401 - the settings of a manifest
    """Name of the judge in the settings of verdicts: for the folder of a learned judge, the folder's name."""
    return Path(str(config["judge"])).name


def _images_of(manifest: Manifest) -> Path:
    """Where the judged images lie."""
    for parent in manifest.parents:
        if parent.kind == "generations":
            return Path(parent.path)
    raise StoreError("the verdicts do not name their generations; judge them again")


def person_mask(row: VerdictRow) -> FloatArray:
    """(G, G) probability of a person in each cell, (0, 0) if the judge does not say."""
    cells = np.frombuffer(base64.b64decode(row.extra.get("person", "")), dtype=np.uint8)
    grid = round(len(cells) ** 0.5)
    return np.asarray(cells.reshape(grid, grid) / 255, dtype=np.float32)


def pixel_drift(runs: Sequence[JudgedRun], base: JudgedRun, reference: ByteArray | None = None) -> PixelDrift:
    """Pixel changes of several runs of a model, with different seeds, against the base's images.

    Args:
        runs: their prompts and seeds do not overlap.
        base: the base model's.
        reference: (M, S, S, 3) clean renders for Frechet distances.
    """
    drift, table = PixelDrift(reference), {row.key: row for row in base.verdicts.rows}
    rows = [(row.key, row, run) for run in runs for row in run.verdicts.rows if row.key in table]
    for key, row, run in sorted(rows, key=lambda one: one[0]):
        against = table[key]
        drift.update(row.prompt_id, run.image(row), base.image(against), person_mask(row), person_mask(against))
    return drift


def calibration_of(verdicts: Path) -> dict[str, Any]:
    """The calibration that the verdicts cite: the file beside them, else that of the learned judge that gave them.

    Raises:
        StoreError: there is none, or it is of another judge.
    """
    config = Manifest.read(verdicts / "manifest.json").config
    judge, fingerprint = str(config["judge"]), str(config["fingerprint"])
    if (verdicts / CALIBRATION).is_file():
        return read_calibration(verdicts, fingerprint)
    folder = judge_folder(judge)
    if not (folder / CALIBRATION).is_file():
        raise StoreError(
            f"{verdicts} cites no calibration of the judge {judge}; run `asap judge calibrate`, then `asap judge run` "
            "with --calibration"
        )
    return read_calibration(folder, fingerprint)


def reference_images(pairs: Path, size: int, *, limit: int = 1000) -> ByteArray:
    """Clean renders (M, size, size, 3): the chosen images of a pair store's test people, at most ``limit``.

    They are averaged down to the generator's size, so that resolution itself makes no difference.
    """
    store = PairStore.open(pairs, split="test")
    rows = np.unique(np.linspace(0, len(store) - 1, min(limit, len(store))).astype(int))
    return np.stack([_shrink(store.row(int(row)).chosen, size) for row in rows])


def _shrink(image: ByteArray, size: int) -> ByteArray:
    step, rest = divmod(image.shape[0], size)
    if rest or not step:
        raise InputError(f"renders of {image.shape[0]} pixels cannot be averaged down to the model's {size}")
    blocks = image.reshape(size, step, size, step, 3).astype(np.float32)
    return np.asarray(blocks.mean(axis=(1, 3)).round(), dtype=np.uint8)
