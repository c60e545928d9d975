"""Export a pair store to the format of another tool. An export appears complete or not at all.

``workflows/datasets/importing.py`` is the reverse.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress

from asap.core.errors import InputError
from asap.core.files import TEMPORARY, make_folder, write_json
from asap.exchange import MARKER, Format, SharedPair, Summary, file_key, format_named
from asap.stores.lock import NAME as LOCK
from asap.stores.lock import WriterLock
from asap.stores.pairs import PairStore

__all__ = ["SHARD_BYTES", "export_pairs", "new_folder"]

SHARD_BYTES: Final = 128 << 20
"""A shard is closed when its images reach this number of bytes; at most three shards, one per split, are in memory."""
COLUMNS_APART: Final = ("prompt", "chosen", "rejected", "mask", "regions", "digest")
"""Columns that are not facts: they are separate fields, or follow from others."""


def export_pairs(
    folder: Path, out: Path, *, name: str, split: str | None = None, nulls: bool = False
) -> dict[str, object]:
    """Write the store at ``folder`` in the format ``name`` to the new folder ``out``, and return a summary.

    Pairs are written in index order, one shard at a time, so memory does not grow with their number. A killed export
    leaves nothing at ``out``; the next export removes its temporary files.

    Args:
        folder: the pair store.
        out: a folder that does not exist or is empty.
        name: of ``exchange.FORMATS``.
        split: limits the export to this split.
        nulls: also export pairs whose rejected side is correct; other trainers would learn to avoid correct anatomy.

    Raises:
        InputError: ``out`` is not empty or cannot be written, or there is no pair to export.
        StoreError: no usable store.
        UnknownNameError: no such format or split.
    """
    form, store = format_named(name), PairStore.open(folder, split=split)
    total = sum(nulls or kind == "defect" for kind in store.column("kind"))
    if not total:
        raise InputError(f"{folder} has no pair with a defect in this split; add --nulls to export the others")
    with new_folder(out) as place, Progress(console=Console(stderr=True)) as bar:
        counts = _write(form, place, out, bar.track(_pairs(store, nulls), total=total, description="exporting pairs"))
        manifest = store.manifest
        marker = {
            "format": 1,
            "as": name,
            "pairs": total,
            "split": split,
            "nulls": nulls,
            "content_hash": store.content_hash,
            "config": manifest.config,
            "instruments": [vars(instrument) for instrument in manifest.instruments],
        }
        write_json(place / MARKER, marker)
    return {"format": name, "pairs": total, **counts, "out": str(out)}


def _pairs(store: PairStore, nulls: bool) -> Iterator[SharedPair]:
    for row in store.stream():
        if nulls or row["kind"] == "defect":
            yield _shared(row)


def _shared(row: Mapping[str, Any]) -> SharedPair:
    facts = {key: value for key, value in row.items() if key not in COLUMNS_APART and value is not None}
    return SharedPair(
        key=file_key(row["uid"]),
        prompt=row["prompt"],
        chosen=row["chosen"],
        rejected=row["rejected"],
        mask=row["mask"],
        regions=row["regions"],
        split=row["split"],
        facts=facts,
    )


def _write(form: Format, place: Path, home: Path, pairs: Iterator[SharedPair] | Any) -> dict[str, int]:  # noqa: ANN401
    waiting: dict[str, list[SharedPair]] = {}
    numbers, held, sizes, done = Counter[str](), Counter[str](), Counter[tuple[int, int]](), Counter[str]()

    def flush(split: str) -> None:
        _write_files(place, form.shard(split, numbers[split], waiting.pop(split)), done)
        numbers[split] += 1
        held[split] = 0

    for pair in pairs:
        waiting.setdefault(pair.split, []).append(pair)
        held[pair.split] += sum(len(getattr(pair, name) or b"") for name in ("chosen", "rejected", "mask", "regions"))
        sizes[int(str(pair.facts["width"])), int(str(pair.facts["height"]))] += 1
        if held[pair.split] >= SHARD_BYTES:
            flush(pair.split)
    for split in list(waiting):
        flush(split)
    summary = Summary(home=home.resolve().as_posix(), sizes=sizes, splits=tuple(sorted(numbers)))
    _write_files(place, form.closing(summary), done)
    return {"files": done["files"], "bytes": done["bytes"]}


def _write_files(place: Path, files: Iterator[tuple[str, bytes]], done: Counter[str]) -> None:
    """Write files into ``place``. They need not be atomic, because the folder is renamed as a whole."""
    for name, data in files:
        path = place / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror or error}") from error
        done["files"] += 1
        done["bytes"] += len(data)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A temporary folder beside ``out``, renamed to ``out`` if the block succeeds and removed if it fails.

    Raises:
        InputError: ``out`` is a file or is not empty, or its parent cannot be written.
        StoreError: another process is writing ``out``.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise InputError(f"{out} is not empty; choose a new folder, or delete it first")
    place = make_folder(out.parent) / f"{TEMPORARY}{out.name}"
    with WriterLock(place) as lock:
        _clear(place)
        try:
            yield place
            lock.release()
            os.sync()
            if out.is_dir():
                out.rmdir()
            place.rename(out)
        except BaseException as error:
            shutil.rmtree(place, ignore_errors=True)
            if isinstance(error, OSError):
                raise InputError(f"cannot write {out}: {error.strerror or error}") from error
            raise


def _clear(place: Path) -> None:
    """Remove the files that a killed process left in ``place``."""
    for path in place.iterdir():
        if path.name != LOCK:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
