"""Train and calibrate the learned judge."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from asap.backbones import Backbone, load
from asap.backbones.family import LoadOptions, device_named
from asap.benchmark import judge as room
from asap.benchmark.judge import (
    HELD_OUT,
    JudgePairs,
    JudgeSpec,
    JudgeTraining,
    LabelledPair,
    StoredJudge,
    TrainedJudge,
)
from asap.benchmark.judge.weights import SETTINGS
from asap.core.errors import InputError, StoreError
from asap.core.files import make_folder, read_json, write_bytes, write_json
from asap.core.seeds import generator
from asap.generate import round_trip
from asap.stores.pairs import PairRow, PairStore
from asap.workflows.runtime.lineage import instruments_of, parent_of

__all__ = ["ATTRIBUTES", "calibrate", "judge_named", "prepare", "train"]

Report = Callable[[str], None]
ATTRIBUTES: Final = ("fingers", "skin", "background", "shirt", "trousers", "hair", "gesture")
LESSONS: Final = ("judge", "rank")
"""Namespaces whose people teach judges: one that measures, and one that ranks a model's tries (``pairs.on_policy``)."""
STRENGTHS: Final = (0.05, 0.2)
CHUNK: Final = 64


def judge_named(name: str | Path, device: str = "auto") -> StoredJudge:
    """``learned`` is the packaged judge, ``ranker`` the packaged screen, else a folder; the network goes to ``device``.

    Raises:
        StoreError: there is none.
        InputError: this machine lacks the device.
    """
    folder = room.judge_folder(name)
    if not (folder / SETTINGS).is_file():
        raise StoreError(f"{folder} holds no learned judge; make one with `asap judge train`, or use learned")
    stored = room.load_judge(folder)
    stored.network.to(device_named(device))
    return stored


def prepare(
    pairs: Path,
    out: Path,
    *,
    split: str,
    model: str | Backbone = "mini",
    limit: int | None = None,
    held_out: Sequence[str] = (),
    strengths: tuple[float, float] = STRENGTHS,
    plain_share: float = 0.0,
    size: int = 64,
    steps: int = 3,
    seed: int = 0,
    attributes: Sequence[str] = ATTRIBUTES,
    device: str = "auto",
    report: Report = lambda _: None,
) -> JudgePairs:
    """Labelled pairs of one split after the generator's round trip; kept in ``out`` in chunks, so it can be resumed.

    Args:
        pairs: pair store of the namespace ``judge``.
        out: folder of the chunks.
        split: train, val or test.
        model: the generator.
        limit: take at most so many pairs, spread over the split.
        held_out: operations to leave out.
        strengths: range of the round trip's time, drawn per pair.
        plain_share: share of pairs that are only encoded and decoded.
        size: side of the judge's images.
        steps: of the round trip.
        seed: of strengths and noise.
        attributes: caption attributes to keep.
        device: where the generator runs, if ``model`` is a name; a GPU if there is one.
        report: is given a line now and then.

    Raises:
        StoreError: the store is missing or has no such split.
        InputError: ``out`` was made with other settings.
    """
    store = PairStore.open(pairs, split=split)
    kept = _taught(store, held_out, limit)
    name = model if isinstance(model, str) else model.name
    asked: dict[str, object] = {"pairs": store.content_hash, "split": split, "rows": len(kept), "model": name}
    asked |= {"strengths": list(strengths), "plain_share": plain_share, "size": size, "steps": steps, "seed": seed}
    asked |= {"held_out": sorted(held_out), "attributes": list(attributes)}
    _claim(out, asked)
    parts, backbone = [], None if isinstance(model, str) else model
    for start in range(0, len(kept), CHUNK):
        path = out / f"chunk-{start // CHUNK:05d}.npz"
        if not path.exists():
            backbone = backbone or load(name, LoadOptions(device=device))
            rows = store.rows(kept[start : start + CHUNK])
            _write_chunk(path, _chunk(backbone, rows, strengths, plain_share, size, steps, seed, attributes))
            report(f"round trip {split} {min(start + CHUNK, len(kept))}/{len(kept)}")
        parts.append(_read_chunk(path))
    if not parts:
        raise InputError(f"the split {split!r} of {pairs} has no pair that is not held out; build more")
    return room.join(parts)


def _claim(folder: Path, asked: dict[str, object]) -> None:
    """Remember the settings of a folder of chunks; raises ``InputError`` when they were others."""
    path = make_folder(folder) / "asked.json"
    if not path.exists():
        write_json(path, asked)
    stored = read_json(path)
    different = [key for key in asked if not isinstance(stored, dict) or stored.get(key) != asked[key]]
    if different:
        raise InputError(f"{folder} was prepared with another {', '.join(different)}; use another folder or delete it")


def _chunk(
    backbone: Backbone,
    rows: Sequence[PairRow],
    strengths: tuple[float, float],
    plain_share: float,
    size: int,
    steps: int,
    seed: int,
    attributes: Sequence[str],
) -> JudgePairs:
    """Both sides of each pair with one noise, then labelled."""
    draws = [generator(seed, "judge-trip", row.uid) for row in rows]
    times = [0.0 if draw.random() < plain_share else float(draw.uniform(*strengths)) for draw in draws]
    noise = [int(draw.integers(2**62)) for draw in draws]
    prompts = [row.prompt for row in rows]
    sides = [
        round_trip(backbone, np.stack(images), prompts, times, noise, steps=steps)
        for images in ([row.chosen for row in rows], [row.rejected for row in rows])
    ]
    return room.stack(_labelled(*trio, size, attributes) for trio in zip(rows, sides[0], sides[1], strict=True))


def _labelled(row: PairRow, chosen: Any, rejected: Any, size: int, names: Sequence[str]) -> LabelledPair:  # noqa: ANN401
    """A stored pair with these images (H, W, 3) in the place of its own."""
    return room.label_pair(
        chosen=chosen,
        rejected=rejected,
        mask=row.mask,
        regions=row.regions,
        kind=row.kind,
        part=row.part,
        operation=row.operation,
        severity=row.severity,
        person=row.person,
        visible_parts=row.visible_parts,
        attributes=row.attributes,
        names=names,
        size=size,
    )


def _as_rendered(pairs: Path, held_out: Sequence[str], limit: int | None, size: int, report: Report) -> JudgePairs:
    """The training pairs as they are in the store."""
    store = PairStore.open(pairs, split="train")
    kept = _taught(store, held_out, limit)
    report(f"reading {len(kept)} training pairs")
    chunks = (store.rows(kept[start : start + CHUNK]) for start in range(0, len(kept), CHUNK))
    return room.stack(_labelled(row, row.chosen, row.rejected, size, ATTRIBUTES) for rows in chunks for row in rows)


def _taught(store: PairStore, held_out: Sequence[str], limit: int | None) -> list[int]:
    """Rows whose operation is not held out, at most ``limit``, spread over the store."""
    kept = [row for row, name in enumerate(store.column("operation")) if name not in held_out]
    if limit is not None and limit < len(kept):
        kept = [kept[place] for place in np.linspace(0, len(kept) - 1, limit).astype(int)]
    return kept


def _write_chunk(path: Path, chunk: JudgePairs) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **{field.name: getattr(chunk, field.name) for field in fields(chunk)})
    write_bytes(path, buffer.getvalue())


def _read_chunk(path: Path) -> JudgePairs:
    with np.load(path) as data:
        return JudgePairs(**{name: data[name] for name in data.files})


def train(
    out: Path,
    *,
    pairs: Path,
    model: str = "mini",
    seed: int = 0,
    held_out: Sequence[str] = HELD_OUT,
    limit: int | None = None,
    rounded: int = 5000,
    validation: int = 800,
    settings: JudgeTraining | None = None,
    spec: JudgeSpec | None = None,
    plain_share: float = 0.4,
    strengths: tuple[float, float] = STRENGTHS,
    init: str | Path | None = None,
    device: str = "auto",
    report: Report = lambda _: None,
) -> dict[str, Any]:
    """Train a judge into ``out`` (weights, settings, log), or go on.

    Args:
        out: folder; working files are below ``out/work``.
        pairs: pair store of the namespace ``judge``, or ``rank`` for one that only ranks.
        model: generator of the round trip.
        seed: decides weights, order and noise.
        held_out: operations never trained on.
        limit: at most so many training pairs.
        rounded: at most so many of them take the generator's round trip and are seen whole; all are seen as rendered,
            in windows, which come blurred and noisy instead.
        validation: at most so many validation pairs.
        settings: of the loop; ``seed`` wins over theirs.
        spec: of the network; its attributes are read from the data.
        plain_share: share of training pairs that are only encoded and decoded.
        strengths: range of the round trip's time.
        init: a judge to go on from (``learned`` or a folder), whose network and attributes are kept.
        device: of torch, where generator and judge run; a GPU if there is one.
        report: is given a line now and then.

    Raises:
        InputError: pairs of another namespace, settings unlike those of an earlier run, or no device.
        StoreError: the pair store cannot be read.
        TrainingError: the loss is not a number.
    """
    spec, where = spec or JudgeSpec(), device_named(device)
    loop = JudgeTraining(**{**asdict(settings or JudgeTraining()), "seed": seed})
    trip = {"model": model, "held_out": held_out, "size": spec.size, "seed": seed, "strengths": strengths}
    trip |= {"device": where}
    near, learn, check = _lessons(pairs, out / "work", trip, plain_share, report, limit, rounded, validation)
    begin = None if init is None else judge_named(init, where)
    spec = begin.network.spec if begin else replace(spec, attributes=_classes(near))
    near, learn, check = (_columns(part, spec) for part in (near, learn, check))
    start, folder = begin.network if begin else None, out / "work" / "run"
    judge = room.train_judge(
        learn, check, spec, loop, folder=folder, windows=near, init=start, device=where, report=report
    )
    return _kept(out, judge, {
        "held_out": list(held_out), "model": model, "strengths": list(strengths), "plain_share": plain_share,
        "training": asdict(loop), "training_pairs": len(near), "rounded_pairs": len(learn),
        "init": begin.fingerprint if begin else None, **_origin(pairs),
    })  # fmt: skip


def _kept(out: Path, judge: TrainedJudge, notes: Mapping[str, object]) -> dict[str, Any]:
    """Write a judge that has been trained; returns what is to be told of it."""
    how = {"steps": judge.steps, "validation_auroc": judge.auroc.to_json(), "device": judge.network.device.type}
    name = room.save_judge(out, judge.network, judge.threshold, {**notes, **how})
    return {
        "judge": str(out), "fingerprint": name, "threshold": judge.threshold, "val_auroc": judge.auroc.to_json(),
        "steps": judge.steps, "seconds": judge.seconds, "images_per_second": judge.images_per_second,
    }  # fmt: skip


def _lessons(
    pairs: Path,
    work: Path,
    trip: Mapping[str, Any],
    plain_share: float,
    report: Report,
    limit: int | None,
    rounded: int,
    validation: int,
) -> tuple[JudgePairs, JudgePairs, JudgePairs]:
    """Training pairs as rendered, those of them that take the round trip, and validation pairs; see ``train``."""
    _own_people(pairs)
    near = _as_rendered(pairs, trip["held_out"], limit, trip["size"], report)
    count = min(rounded, len(near))
    learn = prepare(pairs, work / "train", split="train", limit=count, plain_share=plain_share, report=report, **trip)
    check = prepare(pairs, work / "val", split="val", limit=validation, report=report, **trip)
    _apart(near, check, pairs)
    return near, learn, check


def _origin(pairs: Path) -> dict[str, object]:
    """Which pairs a judge learned from, and what picked those."""
    parent, manifests = parent_of(pairs)
    return {"pairs": parent.content_hash, "training_people_gates": [asdict(i) for i in instruments_of(manifests)]}


def _own_people(pairs: Path) -> None:
    """Raise ``InputError`` unless the store shows people whom no model is aligned or tested with."""
    namespace = PairStore.open(pairs).manifest.config.get("namespace")
    if namespace not in LESSONS:
        raise InputError(
            f"a judge needs people of its own: want a pair store of the namespace {LESSONS[0]!r}, or {LESSONS[1]!r} "
            f"for a screen; {pairs} has {namespace!r}; build one with `asap pairs build --namespace {LESSONS[0]}`"
        )


def _classes(pairs: JudgePairs) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The attributes that these pairs' captions say, with their values."""
    texts = [dict(zip(ATTRIBUTES, map(str, row[0]), strict=True)) for row in pairs.attributes]
    known = [{name: value for name, value in row.items() if value != "?"} for row in texts]
    return room.attribute_classes(known, ATTRIBUTES)


def _apart(learn: JudgePairs, check: JudgePairs, pairs: Path) -> None:
    """Raise ``InputError`` if a person is in both splits."""
    overlap = set(learn.fact("person")) & set(check.fact("person"))
    if overlap:
        raise InputError(f"{len(overlap)} people are in both train and val of {pairs}; build the store anew")


def _columns(pairs: JudgePairs, spec: JudgeSpec) -> JudgePairs:
    """The pairs with only the attributes of ``spec``."""
    columns = [ATTRIBUTES.index(name) for name, _ in spec.attributes]
    return JudgePairs(**{**vars(pairs), "attributes": pairs.attributes[:, :, columns]})


def calibrate(
    judge: str | Path,
    *,
    pairs: Path | None = None,
    out: Path | None = None,
    work: Path | None = None,
    model: str = "mini",
    limit: int | None = None,
    seed: int = 1,
    strengths: tuple[float, float] = STRENGTHS,
    device: str = "auto",
    report: Report = lambda _: None,
) -> dict[str, Any]:
    """Measure a judge on the test people of a pair store and write the result, ``calibration.json``.

    Without ``pairs`` the stored result is given back, after checking that it belongs to these weights.

    Args:
        judge: ``learned`` or a folder.
        pairs: pair store to measure on.
        out: folder of the result; None: beside the judge's weights, which the packaged judge does not allow.
        work: folder of the round trip; None: ``work`` in the folder of the result.
        model: generator of the round trip.
        limit: at most so many pairs.
        seed: of the round trip.
        strengths: range of the round trip's time.
        device: of torch, where generator and judge run; a GPU if there is one.
        report: is given a line now and then.

    Raises:
        StoreError: no judge, no stored calibration, or no readable store.
        InputError: no defect of a known operation among the test people, or the result would land in the package.
    """
    folder, stored = room.judge_folder(judge), judge_named(judge, device)
    if pairs is None:
        if out is not None:
            raise InputError(f"{out} is for a new measurement; name the pair store to measure on, or leave it out")
        return room.read_calibration(folder, stored.fingerprint)
    target = _target(folder, out)
    held_out = tuple(stored.settings["notes"].get("held_out", ()))
    size, where = stored.network.spec.size, (work or target / "work") / "test"
    data = prepare(
        pairs, where, split="test", model=model, limit=limit, size=size, seed=seed, strengths=strengths, device=device,
        report=report,
    )  # fmt: skip
    scores = [room.predict(stored.network, images).score for images in (data.chosen, data.rejected)]
    facts: dict[str, Any] = {name: data.fact(name) for name in ("kind", "part", "operation", "severity", "person")}
    found = room.calibrate(
        room.CalibrationSet(chosen=scores[0], rejected=scores[1], **facts),
        threshold=stored.threshold,
        held_out=held_out,
        fingerprint=stored.fingerprint,
        notes={"pairs": PairStore.open(pairs).content_hash, "model": model, "strengths": list(strengths), "seed": seed},
    )
    write_json(target / room.CALIBRATION, found)
    return found


def _target(judge: Path, out: Path | None) -> Path:
    """Where a new calibration goes; never into the package, whose own is replaced by an explicit copy only."""
    target = out or judge
    if target.resolve() == room.judge_folder("learned").resolve():
        raise InputError(
            f"the packaged judge's {room.CALIBRATION} is not overwritten; name another folder (--out DIR), and copy "
            "the file if it is to replace the packaged one"
        )
    return target
