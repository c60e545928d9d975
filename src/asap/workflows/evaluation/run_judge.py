"""[generations] -> judge -> [verdicts] with any judge, and the comparison of two runs by a pairwise judge."""

import base64
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, overload

import numpy as np

from asap.benchmark.lineage import refuse_own_examiner
from asap.benchmark.pairwise import pairwise_strength
from asap.benchmark.verdict import Judge, JudgeInput, Verdict
from asap.core.errors import InputError, StoreError
from asap.core.files import make_folder, read_json, write_json
from asap.core.manifest import Instrument, Manifest
from asap.core.seeds import generator
from asap.stores.generations import Generation, GenerationStore
from asap.stores.verdicts import VerdictRow, VerdictWriter
from asap.workflows.evaluation.domains import run_domain
from asap.workflows.evaluation.judges import judge_by_name
from asap.workflows.runtime.lineage import instruments_of, parent_of

__all__ = ["CALIBRATION", "compare", "estimate", "fit_judge", "run", "work_of"]

CALIBRATION: Final = "calibration.json"
REPORT_EVERY: Final = 64
Report = Callable[[str], None]


def run(
    generations: Path,
    out: Path,
    *,
    judge: str | Path,
    options: Mapping[str, Any] | None = None,
    calibration: Path | None = None,
    work: Path | None = None,
    device: str = "auto",
    report: Report = lambda _: None,
) -> Path:
    """Judge every image of a store of generations; resumes. Returns the folder of the verdicts.

    Args:
        generations: what ``asap generate`` made.
        out: folder of the verdicts.
        judge: a name or the folder of a learned judge; see ``evaluation.judges``.
        options: the judge's settings.
        calibration: file of ``asap judge calibrate``, kept beside the verdicts and cited by every rate; the learned
            judge has its own.
        work: folder for what the judge keeps, such as raw replies; None for ``OUT.judge``.
        device: where the learned judge runs; ``auto`` is a GPU if there is one. Its verdicts differ between devices by
            rounding.
        report: receives a line of progress now and then.

    Raises:
        InputError: the judge picked the pairs that the model was aligned with, or was trained on them; or wrong
            settings, or a calibration of another judge.
        StoreError: generations or judge cannot be read.
    """
    store = GenerationStore.open(generations)
    parent, manifests = parent_of(generations)
    place = work or work_of(out)
    instrument, cited = fit_judge(
        judge, options, calibration=calibration, upstream=manifests, work=place, device=device, report=report
    )
    if instrument.made_for is not None and not instrument.made_for.made_for(images := run_domain(store)):
        report(f"the judge {instrument.name} was not made for {images.text}: no AER of it without ratings of raters")
    config: dict[str, object] = {"judge": str(judge), "fingerprint": instrument.fingerprint}
    config |= {"taught_on": instrument.trained_on, **instrument.config(), "generations": store.content_hash}
    with VerdictWriter(out, config) as writer:
        if cited is not None:
            write_json(out / CALIBRATION, cited)
        _judge_rest(instrument, store, writer, report)
        instruments = (*instruments_of(manifests), Instrument("judge", instrument.name, instrument.fingerprint))
        notes: dict[str, object] = {"settings": dict(options or {})}
        if instrument.made_for is not None:
            notes["made_for"] = instrument.made_for.to_json()
        writer.finish(Manifest(kind="verdicts", config=config, parents=(parent,), instruments=instruments, notes=notes))
    return out


def work_of(out: Path) -> Path:
    """The default folder for what a judge keeps."""
    return out.with_name(f"{out.name}.judge")


def fit_judge(
    judge: str | Path,
    options: Mapping[str, Any] | None = None,
    *,
    calibration: Path | None = None,
    upstream: Sequence[Manifest] = (),
    work: Path,
    device: str = "auto",
    report: Report = lambda _: None,
) -> tuple[Judge, Mapping[str, Any] | None]:
    """The judge and its calibration, after checking that it may judge the model; nothing is written.

    Args:
        judge: a name or the folder of a learned judge.
        options: the judge's settings.
        calibration: as ``run`` takes it.
        upstream: manifests of everything that the model's adapter or images came from.
        work: where the judge keeps things.
        device: where the learned judge runs.
        report: receives a line of progress now and then.

    Raises:
        InputError, StoreError: as ``run``.
    """
    instrument = judge_by_name(judge, options, work=work, device=device, report=report)
    refuse_own_examiner(instrument.fingerprint, upstream, taught_on=instrument.trained_on, name=instrument.name)
    return instrument, instrument.calibration() if calibration is None else _calibration(calibration, instrument)


def _calibration(path: Path, judge: Judge) -> dict[str, Any]:
    """The calibration in a file or folder; raises ``StoreError`` if it is of another judge."""
    found = read_json(path / CALIBRATION if path.is_dir() else path)
    if not isinstance(found, dict) or found.get("fingerprint") != judge.fingerprint:
        raise StoreError(f"{path} is no calibration of this judge with these settings; run `asap judge calibrate`")
    return found


def _judge_rest(judge: Judge, store: GenerationStore, writer: VerdictWriter, report: Report) -> None:
    """Judge the images without a verdict, and report how many failed."""
    todo = [row for row in store.rows if row.key not in writer.done()]
    errors = 0
    for count, (row, found) in enumerate(zip(todo, judge.judge(_inputs(store, todo)), strict=True), 1):
        verdict = _finite(found)
        writer.add(_row(row, verdict))
        errors += verdict.error
        if count % REPORT_EVERY == 0 or count == len(todo):
            report(f"judge {count}/{len(todo)}" + (f", {errors} errors" if errors else ""))


def _finite(verdict: Verdict) -> Verdict:
    """A verdict whose probability is not finite becomes an error."""
    if verdict.probability is None or math.isfinite(verdict.probability):
        return verdict
    reason = f"the judge's probability is {verdict.probability}"
    return replace(verdict, fails=None, probability=None, parts={}, error=True, reason=reason)


def _inputs(store: GenerationStore, rows: Iterable[Generation]) -> Iterable[JudgeInput]:
    """The inputs of a judge, read one by one."""
    return (
        JudgeInput(key=row.key, image=store.image(row), prompt=row.prompt, parts=tuple(row.extra.get("parts", ())))
        for row in rows
    )


def _row(row: Generation, verdict: Verdict) -> VerdictRow:
    """The stored row: the verdict, and the person mask, if any, as one byte per cell."""
    extra: dict[str, Any] = {
        "probability": verdict.probability,
        "not_visible": list(verdict.not_visible),
        "reason": verdict.reason,
        "error": verdict.error,
    }
    if verdict.person is not None:
        cells = np.round(verdict.person * 255).astype(np.uint8)
        extra["person"] = base64.b64encode(cells.tobytes()).decode()
    if verdict.details:
        extra["details"] = verdict.details
    return VerdictRow(
        prompt_id=row.prompt_id,
        seed=row.seed,
        category=row.category,
        fails=verdict.fails,
        parts=verdict.parts,
        attributes=verdict.attributes,
        extra=extra,
    )


def estimate(
    generations: Path, *, judge: str | Path, options: Mapping[str, Any] | None = None, work: Path
) -> dict[str, object]:
    """What judging a store will take: the number of images, and calls, tokens and price if the judge states them."""
    store, instrument = GenerationStore.open(generations), judge_by_name(judge, options, work=work)
    return {"judge": instrument.name, "images": len(store.rows), **instrument.estimate(_Lazy(store))}


class _Lazy(Sequence[JudgeInput]):
    """A store as a sequence of images that are read on access."""

    def __init__(self, store: GenerationStore) -> None:
        self._store = store

    def __len__(self) -> int:
        return len(self._store.rows)

    @overload
    def __getitem__(self, place: int) -> JudgeInput: ...
    @overload
    def __getitem__(self, place: slice) -> list[JudgeInput]: ...
    def __getitem__(self, place: int | slice) -> JudgeInput | list[JudgeInput]:
        rows = self._store.rows[place]
        return list(_inputs(self._store, rows)) if isinstance(rows, list) else next(iter(_inputs(self._store, [rows])))


def compare(
    model: Path,
    base: Path,
    out: Path,
    *,
    options: Mapping[str, Any],
    judge: str = "vlm",
    report: Report = lambda _: None,
) -> dict[str, object]:
    """Pairwise votes of two runs at equal prompts and seeds, in both orders; returns RSI and the bias of position.

    ``out/votes.json`` holds the same and one row a prompt and seed: outcome (win, tie, lose of the model, or error) and
    the votes in both orders.

    Raises:
        InputError: nothing in common, a judge that does not compare, or too many errors.
        StoreError: a store cannot be read.
    """
    stores = [GenerationStore.open(path) for path in (model, base)]
    instrument = judge_by_name(judge, options, work=make_folder(out))
    for path in (model, base):
        refuse_own_examiner(instrument.fingerprint, parent_of(path)[1], name=instrument.name)
    tables = [{row.key: row for row in store.rows} for store in stores]
    keys = sorted(tables[0].keys() & tables[1].keys())
    if not keys:
        raise InputError("the two models share no prompt and seed; generate both with the same suite and seeds")
    sides = [_inputs(store, [table[key] for key in keys]) for store, table in zip(stores, tables, strict=True)]
    rows = []
    for found in instrument.compare(zip(*sides, strict=True)):
        row: dict[str, object] = {"prompt_id": found.key[0], "seed": found.key[1], "outcome": found.outcome}
        rows.append(row | {"votes": [list(vote) for vote in found.votes], "reason": found.reason})
        if len(rows) % REPORT_EVERY == 0 or len(rows) == len(keys):
            report(f"compare {len(rows)}/{len(keys)}")
    facts = {"judge": instrument.name, "fingerprint": instrument.fingerprint}
    facts |= {name: store.content_hash for name, store in zip(("model", "base"), stores, strict=True)}
    result = pairwise_strength(rows, generator(0, "pairwise"))
    write_json(out / "votes.json", {**facts, "result": result, "rows": rows})
    return result
