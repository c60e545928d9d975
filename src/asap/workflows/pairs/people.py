"""Render people for pretraining: images and captions in shards, made by a process pool, resumable."""

import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.progress import track

from asap.backbones.mini.build import SIZES
from asap.bodies import load_rig, pieces, render, sample_scene, visible_parts
from asap.core.errors import InputError, StoreError, UnknownNameError
from asap.core.files import read_json, write_bytes, write_json
from asap.core.records import ByteArray
from asap.core.vocabulary import SCENES
from asap.stores.config import claim
from asap.stores.lock import WriterLock
from asap.workflows.runtime.parallel import processes

SHARD = 250
LEARNED: Final[dict[str, Any]] = {"size": SIZES["mini"].resolution, "scene": "studio"}
"""What the embedded model has learned from; pairs to align it or its judge with are rendered alike."""
Job = tuple[str, int, int, int, int, str, bool, str]
"""Folder, first image, count, size, seed, namespace, held_out, scene."""


def render_people(
    out: Path,
    *,
    count: int,
    size: int = 128,
    seed: int = 0,
    namespace: str = "mini",
    held_out: bool = False,
    scene: str = "varied",
    workers: int = 2,
) -> int:
    """Write ``count`` images of people to ``out``; returns how many shards were made now.

    ``images-XXXXXX.npy`` is uint8 (N, size, size, 3), ``pieces-XXXXXX.npy`` uint8 (N, size, size) says what piece of
    the body each pixel shows (``vocabulary.PIECES``), ``people-XXXXXX.json`` is a list of N records (caption,
    attributes, category, person, visible_parts, seed); six digits, the number of the first image. ``config.json``
    holds the settings. Shards already there are kept, so a killed run goes on where it was.

    ``scene`` is one of ``vocabulary.SCENES``.

    Raises:
        UnknownNameError: no such scene.
        InputError: a count or size that is not positive, or ``out`` was begun with other settings or is unwritable.
        StoreError: another process is writing to ``out``.
    """
    if count <= 0 or size <= 0:
        raise InputError(f"count and size must be positive, got count={count} and size={size}")
    if scene not in SCENES:
        raise UnknownNameError("scene", scene, SCENES)
    config = {"count": count, "size": size, "seed": seed, "namespace": namespace, "held_out": held_out, "scene": scene}
    with WriterLock(out):
        claim(out, "people", config)
        todo = [start for start in range(0, count, SHARD) if not _shard(out, start).exists()]
        jobs = [(str(out), start, min(SHARD, count - start), size, seed, namespace, held_out, scene) for start in todo]
        if jobs:
            _render_shards(jobs, workers)
    return len(jobs)


def _render_shards(jobs: Sequence[Job], workers: int) -> None:
    load_rig()  # here first, so that the workers find its files made
    with processes(workers) as pool:
        for _ in track(
            pool.map(_render_shard, jobs), total=len(jobs), description="rendering people", console=Console(stderr=True)
        ):
            pass


def read_people(folder: Path) -> tuple[ByteArray, list[dict[str, object]]]:
    """All images (N, size, size, 3) uint8 and their records.

    Raises:
        InputError: there are none.
        StoreError: a shard is damaged, or has no records.
    """
    shards = sorted(folder.glob("images-*.npy"))
    if not shards:
        raise InputError(
            f"expected images-*.npy in {folder}, found none; without --data `asap mini pretrain` makes some"
        )
    images, records = [], list[dict[str, object]]()
    for shard in shards:
        found = read_json(shard.with_name(shard.name.replace("images", "people")).with_suffix(".json"))
        try:
            images.append(np.load(shard))
        except (OSError, ValueError, EOFError) as error:
            raise StoreError(f"{shard} cannot be read ({error}); delete it and make it anew") from error
        if not isinstance(found, list) or len(found) != len(images[-1]):
            raise StoreError(f"{shard} has not one record an image; delete it and make it anew")
        records += found
    return np.concatenate(images), records


def read_pieces(folder: Path) -> ByteArray:
    """The piece maps (N, size, size) of all images of ``read_people``, in its order.

    Raises:
        InputError: a shard was rendered by a version that made none.
        StoreError: a shard is damaged.
    """
    found = []
    for shard in sorted(folder.glob("images-*.npy")):
        path = shard.with_name(shard.name.replace("images", "pieces"))
        if not path.is_file():
            raise InputError(
                f"{folder} has no {path.name}: an earlier version rendered it; render it anew, or train with --focus 0"
            )
        try:
            found.append(np.load(path))
        except (OSError, ValueError, EOFError) as error:
            raise StoreError(f"{path} cannot be read ({error}); delete its shard and make it anew") from error
    return np.concatenate(found)


def _shard(out: Path, start: int) -> Path:
    return out / f"images-{start:06d}.npy"


def _render_shard(job: Job) -> None:
    folder, start, count, size, seed, namespace, held_out, scene = job
    rig = load_rig()
    images, maps, records = [], [], []
    for index in range(start, start + count):
        drawn = sample_scene(rig, seed, namespace, index, held_out=held_out, scene=scene)
        rendered = render(drawn.scene, size)
        images.append(rendered.image)
        maps.append(pieces(rendered, rig))
        record = asdict(drawn.truth)
        record["visible_parts"] = list(visible_parts(drawn.truth, rendered.regions))
        records.append(record)
    path = _shard(Path(folder), start)
    write_json(path.with_name(f"people-{start:06d}.json"), records)
    _write(path.with_name(f"pieces-{start:06d}.npy"), np.stack(maps))
    _write(path, np.stack(images))  # last: a shard with images is a whole one


def _write(path: Path, rows: ByteArray) -> None:
    buffer = io.BytesIO()
    np.save(buffer, rows)
    write_bytes(path, buffer.getvalue())
