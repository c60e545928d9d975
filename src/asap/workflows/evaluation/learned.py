"""Load and calibrate the learned judge; ``training.judge`` trains it."""

import io
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from asap.backbones import Backbone, load
from asap.backbones.family import LoadOptions, device_named
from asap.benchmark import judge as room
from asap.benchmark.judge import JudgePairs, LabelledPair, StoredJudge
from asap.benchmark.judge.weights import SETTINGS
from asap.core.errors import InputError, StoreError
from asap.core.files import make_folder, read_json, write_bytes, write_json
from asap.core.seeds import generator
from asap.generate import round_trip
from asap.stores.pairs import PairRow, PairStore
from asap.workflows.evaluation.domains import pair_domains

__all__ = ["ATTRIBUTES", "LESSONS", "STRENGTHS", "calibrate", "judge_named", "labelled", "prepare", "training_rows"]

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
    kept = training_rows(store, held_out, limit)
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
    return room.stack(labelled(*trio, size, attributes) for trio in zip(rows, sides[0], sides[1], strict=True))


def labelled(row: PairRow, chosen: Any, rejected: Any, size: int, names: Sequence[str]) -> LabelledPair:  # noqa: ANN401
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


def training_rows(store: PairStore, held_out: Sequence[str], limit: int | None) -> list[int]:
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
    store = PairStore.open(pairs)
    found = room.calibrate(
        room.CalibrationSet(chosen=scores[0], rejected=scores[1], **facts),
        threshold=stored.threshold,
        held_out=held_out,
        fingerprint=stored.fingerprint,
        notes={"pairs": store.content_hash, "model": model, "strengths": list(strengths), "seed": seed},
        measured_on=[replace(one, models=(model,), size=size) for one in pair_domains(store)],
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
