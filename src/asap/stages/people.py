"""Render people for pretraining: pictures and captions in shards, made by a process pool, resumable."""

import io
import json
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rich.progress import track

from asap.bodies import draw, load_rig, render, visible_parts
from asap.core.errors import InputError
from asap.core.files import write_bytes, write_json

SHARD = 250


def render_people(
    out: Path,
    *,
    count: int,
    size: int = 128,
    seed: int = 0,
    namespace: str = "mini",
    held_out: bool = False,
    workers: int = 2,
) -> int:
    """Write ``count`` pictures of people to ``out``; returns how many shards were made now.

    ``images-XXXXX.npy`` is uint8 (N, size, size, 3), ``people-XXXXX.json`` a list of N records (caption, attributes,
    category, person, visible_parts, seed). Shards already there are kept, so a killed run goes on where it was.
    Raises ``InputError`` for a count or size that is not positive.
    """
    if count <= 0 or size <= 0:
        raise InputError(f"count and size must be positive, got count={count} and size={size}")
    todo = [start for start in range(0, count, SHARD) if not _shard(out, start).exists()]
    jobs = [(str(out), start, min(SHARD, count - start), size, seed, namespace, held_out) for start in todo]
    if jobs:
        load_rig()
    with ProcessPoolExecutor(max_workers=workers, mp_context=get_context("spawn")) as pool:
        for _ in track(pool.map(_render_shard, jobs), total=len(jobs), description="rendering people"):
            pass
    return len(jobs)


def read_people(folder: Path) -> tuple[np.ndarray, list[dict[str, object]]]:  # type: ignore[type-arg]
    """All pictures (N, size, size, 3) uint8 and their records; raises ``InputError`` when there are none."""
    shards = sorted(folder.glob("images-*.npy"))
    if not shards:
        raise InputError(f"expected images-*.npy in {folder}, found none; render some with `asap mini render`")
    records: list[dict[str, object]] = []
    for shard in shards:
        records += json.loads(shard.with_name(shard.name.replace("images", "people")).with_suffix(".json").read_text())
    return np.concatenate([np.load(shard) for shard in shards]), records


def _shard(out: Path, start: int) -> Path:
    return out / f"images-{start:06d}.npy"


def _render_shard(job: tuple[str, int, int, int, int, str, bool]) -> None:
    folder, start, count, size, seed, namespace, held_out = job
    rig = load_rig()
    images, records = [], []
    for index in range(start, start + count):
        drawn = draw(rig, seed, namespace, index, held_out=held_out)
        picture = render(drawn.scene, size)
        images.append(picture.image)
        record = asdict(drawn.truth)
        record["visible_parts"] = list(visible_parts(drawn.truth, picture.regions))
        records.append(record)
    path = _shard(Path(folder), start)
    write_json(path.with_name(f"people-{start:06d}.json"), records)
    buffer = io.BytesIO()
    np.save(buffer, np.stack(images))
    write_bytes(path, buffer.getvalue())


def captions(records: Iterable[dict[str, object]]) -> list[str]:
    """The caption of every record."""
    return [str(record["caption"]) for record in records]
