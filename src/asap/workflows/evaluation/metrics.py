"""Verdicts to numbers: one model against its base."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asap.benchmark.judge import CALIBRATION, judge_folder, measured_rates, read_calibration
from asap.benchmark.lineage import refuse_own_examiner
from asap.benchmark.summary import Judged, summarize
from asap.core.errors import InputError, StoreError
from asap.core.manifest import Manifest
from asap.stores.generations import Generation, GenerationStore
from asap.stores.pairs import PairStore
from asap.stores.verdicts import VerdictRow, VerdictStore
from asap.workflows.runtime.lineage import ancestors

__all__ = ["calibration_of", "load_judged", "measure", "reference_images"]


def load_judged(verdicts: Path) -> list[Judged]:
    """Every judged image with its verdict, in the order of the store.

    Raises:
        StoreError: verdicts or their generations cannot be read, or do not belong together.
        InputError: the judge also picked the pairs that the model was aligned with, or was trained on them.
    """
    store = VerdictStore.open(verdicts)
    config, lessons = store.manifest.config, store.manifest.config.get("taught_on")
    taught_on = None if lessons is None else str(lessons)
    refuse_own_examiner(str(config["fingerprint"]), ancestors(store.manifest), taught_on=taught_on)
    source = GenerationStore.open(generations_of(store.manifest))
    if source.content_hash != store.manifest.config["generations"]:
        raise StoreError(f"{source.root} is no longer what {verdicts} judged; judge it again")
    return [_judged(row, source) for row in store.rows]


def generations_of(manifest: Manifest) -> Path:
    """Where the judged images lie."""
    for parent in manifest.parents:
        if parent.kind == "generations":
            return Path(parent.path)
    raise StoreError("the verdicts do not name their generations; judge them again")


def _judged(row: VerdictRow, source: GenerationStore) -> Judged:
    """One verdict joined with its image."""
    picture: Generation = source.get(row.prompt_id, row.seed)
    cells = np.frombuffer(base64.b64decode(row.extra.get("person", "")), dtype=np.uint8)
    grid = round(len(cells) ** 0.5)
    sure = row.extra["probability"]
    return Judged(
        prompt_id=row.prompt_id,
        seed=row.seed,
        prompt=picture.prompt,
        category=row.category,
        image=source.image(picture),
        fails=row.fails,
        probability=None if sure is None else float(sure),
        error=bool(row.extra.get("error", False)),
        wanted_parts=tuple(picture.extra.get("parts", ())),
        hidden_parts=tuple(row.extra["not_visible"]),
        wanted=dict(picture.extra.get("attributes", {})),
        seen=row.attributes,
        person=np.asarray(cells.reshape(grid, grid) / 255, dtype=np.float32),
    )


def calibration_of(verdicts: Path) -> dict[str, Any]:
    """The calibration that the verdicts cite: the file beside them, else that of the learned judge that gave them.

    Raises:
        StoreError: there is none, or it is of another judge.
    """
    config = VerdictStore.open(verdicts).manifest.config
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


def reference_images(pairs: Path, size: int, *, limit: int = 1000) -> npt.NDArray[np.uint8]:
    """Clean renders (M, size, size, 3): the chosen sides of a pair store's test people, at most ``limit``.

    They are averaged down to the generator's size so that resolution itself is no difference.
    """
    store = PairStore.open(pairs, split="test")
    rows = np.unique(np.linspace(0, len(store) - 1, min(limit, len(store))).astype(int))
    return np.stack([_shrink(store.row(int(row)).chosen, size) for row in rows])


def _shrink(image: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    step, rest = divmod(image.shape[0], size)
    if rest or not step:
        raise InputError(f"renders of {image.shape[0]} pixels cannot be averaged down to the model's {size}")
    blocks = image.reshape(size, step, size, step, 3).astype(np.float32)
    return np.asarray(blocks.mean(axis=(1, 3)).round(), dtype=np.uint8)


def measure(
    verdicts: Path,
    base: Path | None = None,
    *,
    reference: Path | None = None,
    seed: int = 0,
    extra: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """One model's row of the result table; see ``benchmark.summary.summarize``.

    Args:
        verdicts: of the model.
        base: verdicts on the base model with the same judge; None: the model is the base.
        reference: pair store whose clean test renders the Frechet distance is taken to.
        seed: of the bootstraps.
        extra: further keys of the result, such as steps and seconds.

    Raises:
        InputError: two judges, or nothing to compare.
        StoreError: a store cannot be read.
    """
    calibration, rows = calibration_of(verdicts), load_judged(verdicts)
    against = rows if base is None else load_judged(base)
    if base is not None and calibration_of(base)["fingerprint"] != calibration["fingerprint"]:
        raise InputError("the two models were judged by different judges; judge both with the same one")
    clean = None if reference is None else reference_images(reference, rows[0].image.shape[0])
    return {**summarize(rows, against, measured_rates(calibration), reference=clean, seed=seed), **(extra or {})}
