"""Read rows from files of other tools: Parquet tables, tar shards, folders of images.

Each reader yields ``(where, row)``: file and row for messages, and the input of ``Format.parse`` of the format, or a
``Refused`` if the container is damaged.
"""

import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from asap.core.errors import InputError
from asap.exchange import Format, Refused
from asap.exchange.folders import SIDECARS
from asap.exchange.pair import IMAGES

__all__ = ["Row", "files_of", "open_rows"]

Row = tuple[str, Mapping[str, object] | Refused]
ENDINGS: Final = {"parquet": ".parquet", "tar": ".tar"}
BATCH: Final = 8


def files_of(form: Format, source: Path) -> list[Path]:
    """The files from which rows are read, sorted: shards, or for folders the lists of pairs or the chosen images.

    Raises:
        InputError: there are none.
    """
    if form.container in ENDINGS:
        ending = ENDINGS[form.container]
        found = [source] if source.is_file() else sorted(source.rglob(f"*{ending}"))
        wanted = f"a file ending in {ending}"
    else:
        found = sorted((source / SIDECARS).glob("*.jsonl")) or list(_chosen_images(form, source))
        wanted = "a folder chosen beside a folder rejected, at its top or in a folder for each split"
    if not found:
        raise InputError(f"{source} has no pairs as {form.name}: wanted {wanted}")
    return found


def open_rows(form: Format, source: Path, files: list[Path]) -> Iterator[Row]:
    """The rows of ``files`` in order, with a few in memory at a time."""
    top = source if source.is_dir() else source.parent
    for path in files:
        where = path.relative_to(top).as_posix()
        if form.container == "parquet":
            yield from _table(path, where, form.columns)
        elif form.container == "tar":
            yield from _tar(path, where)
        elif path.suffix == ".jsonl":
            yield from _listed(form, top, path, where)
        else:
            yield where, _folder_row(form, path.parent.parent, path.stem, {})


def _table(path: Path, where: str, wanted: tuple[str, ...]) -> Iterator[Row]:
    number = 0
    try:
        with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
            columns = [name for name in file.schema_arrow.names if name in wanted]
            for batch in file.iter_batches(batch_size=BATCH, columns=columns):
                for row in batch.to_pylist():
                    yield f"{where}#{number}", row
                    number += 1
    except (OSError, pa.ArrowException) as error:
        yield f"{where}#{number}", Refused("damaged_file", " ".join(str(error).split())[:120])


def _tar(path: Path, where: str) -> Iterator[Row]:
    """Samples: consecutive members with the same name before the first dot."""
    key, row = "", dict[str, object]()
    try:
        with tarfile.open(path, mode="r:*") as tar:
            for member in tar:
                base, _, field = member.name.rpartition("/")[2].partition(".")
                if not member.isfile() or not base:
                    continue
                if base != key and row:
                    yield f"{where}#{key}", row
                    row = {}
                key = base
                content = tar.extractfile(member)
                row[field] = content.read() if content else b""
    except (OSError, tarfile.TarError, EOFError) as error:
        yield f"{where}#{key}", Refused("damaged_file", " ".join(str(error).split())[:120])
        return
    if row:
        yield f"{where}#{key}", row


def _chosen_images(form: Format, source: Path) -> Iterator[Path]:
    """Chosen images of a folder that is not our own export, by split and name."""
    layout = form.layout or {}
    tops = [source, *sorted(path for path in source.iterdir() if path.is_dir())] if source.is_dir() else []
    for top in tops:
        if (top / "chosen").is_dir() and (top / "rejected").is_dir():
            suffix = layout["mask"].partition("{}")[2]
            for path in sorted((top / "chosen").iterdir()):
                if path.suffix.lower() in IMAGES and not (suffix and path.stem.endswith(suffix)):
                    yield path


def _listed(form: Format, top: Path, path: Path, where: str) -> Iterator[Row]:
    """Pairs of our own export, with the facts in its lists."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines):
            place = f"{where}#{number}"
            try:
                known: Any = json.loads(line)
                key, split, prompt, facts = (known[name] for name in ("key", "split", "prompt", "facts"))
            except (ValueError, KeyError, TypeError) as error:
                yield place, Refused("bad_facts", f"wanted key, split, prompt and facts ({error})")
                continue
            if not all(isinstance(name, str) and Path(name).name == name for name in (key, split)):
                yield place, Refused("bad_facts", f"key and split must be plain names, got {key!r:.60}, {split!r:.60}")
                continue
            yield place, _folder_row(form, top / split, key, {"prompt": prompt, "facts": facts})


def _folder_row(form: Format, top: Path, key: str, known: Mapping[str, object]) -> dict[str, object] | Refused:
    """The ``known`` fields of a pair and its files, without missing ones."""
    row = dict(known)
    for name, pattern in (form.layout or {}).items():
        endings = (".txt",) if name == "text" else IMAGES
        stem = top / pattern.format(key)
        for path in (stem.with_name(stem.name + ending) for ending in endings):
            if not path.is_file():
                continue
            try:
                row[name] = path.read_bytes()
            except OSError as error:
                return Refused("unreadable_file", f"{path.name}: {error.strerror or error}")
            break
    return row
