"""Import files of another tool to a pair store. Every row becomes a pair, or is counted with a reason."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress

from asap.core.errors import InputError
from asap.core.files import read_json, write_text
from asap.core.hashing import canonical_json, digest_json_list
from asap.core.manifest import Instrument, Manifest, Parent
from asap.core.records import PairRecord
from asap.core.seeds import derive
from asap.exchange import MARKER, Format, Refused, SharedPair, format_named
from asap.exchange.record import to_record
from asap.stores.pairs import GATES, EncodedChunk, EncodedRow, PairStore, PairWriter, encode_rows
from asap.workflows.datasets.foreign import Row, files_of, open_rows

__all__ = ["REFUSED", "import_pairs"]

CHUNK: Final = 32
REFUSED: Final = "refused.jsonl"
"""One line for each row without a pair: where, reason, detail."""
Item = tuple[int, str, SharedPair | Refused]
"""Index, where, and row."""


def import_pairs(source: Path, out: Path, *, name: str) -> dict[str, object]:
    """Build the store ``out`` from the files of format ``name`` at ``source``; resumes an interrupted import.

    Our own export (it has ``asap.json``) keeps its indices, splits and all facts of its format. If it was complete, the
    store has the content hash of the original one. Other rows are numbered in order and split by person, source or
    caption.

    Args:
        source: a folder, or one shard.
        out: folder of the store.
        name: of ``exchange.FORMATS``.

    Raises:
        InputError: no files of this format at ``source``, or ``out`` was started with other arguments.
        StoreError: no row gave a pair.
        UnknownNameError: no such format.
    """
    form = format_named(name)
    if form.parse is None:
        raise InputError(f"{name} can be exported only; its files do not say which pairs they were")
    files, marker = files_of(form, source), _marker(source, name)
    with PairWriter(out, _config(form, source, files, marker), CHUNK) as writer:
        items = _own(form, source, files) if marker else _foreign(form, source, files)
        with Progress(console=Console(stderr=True)) as bar:
            _fill(writer, bar.track(items, total=None, description="importing rows"), own=bool(marker))
        lines = [canonical_json(refused) + "\n" for _, refused in writer.sources()]
        write_text(out / REFUSED, "".join(lines))
        found = writer.finish(_manifest(_config(form, source, files, marker), source, marker))
    return _summary(out, found, marker)


def _marker(source: Path, name: str) -> dict[str, Any] | None:
    """The description in our own export; None for files of other programs."""
    path = source / MARKER
    if not path.is_file():
        return None
    found = read_json(path)
    if not isinstance(found, dict) or found.get("as") != name:
        came = found.get("as") if isinstance(found, dict) else found
        raise InputError(f"{path} says that this was exported as {came}, not as {name}; use --format {came}")
    return found


def _config(form: Format, source: Path, files: list[Path], marker: dict[str, Any] | None) -> dict[str, object]:
    top = source if source.is_dir() else source.parent
    names = digest_json_list([path.relative_to(top).as_posix(), path.stat().st_size] for path in files)
    return {"source": "import", "format": form.name, "own": bool(marker), "files": len(files), "file_names": names}


def _parsed(form: Format, rows: Iterator[Row]) -> Iterator[tuple[str, SharedPair | Refused]]:
    assert form.parse is not None, form.name
    for where, row in rows:
        yield where, row if isinstance(row, Refused) else form.parse(row)


def _foreign(form: Format, source: Path, files: list[Path]) -> Iterator[Item]:
    """Rows numbered in order."""
    for index, (where, item) in enumerate(_parsed(form, open_rows(form, source, files))):
        yield index, where, item


def _own(form: Format, source: Path, files: list[Path]) -> Iterator[Item]:
    """Rows of our own export by their index; the files of each split are in that order already."""
    splits = groupby(files, key=lambda path: path.stem.rpartition("-")[0])
    streams = [_indexed(_parsed(form, open_rows(form, source, list(group)))) for _, group in splits]
    return merge(*streams, key=itemgetter(0))


def _indexed(rows: Iterator[tuple[str, SharedPair | Refused]]) -> Iterator[Item]:
    last = 0
    for where, item in rows:
        index = item.facts.get("index") if isinstance(item, SharedPair) else last
        if type(index) is int and index >= last:
            last = index
            yield index, where, item
        else:
            yield last, where, Refused("bad_facts", f"wanted an index of at least {last}, got {index!r:.60}")


@dataclass(frozen=True)
class _Chunk:
    rows: list[EncodedRow]
    refused: list[dict[str, object]]


def _fill(writer: PairWriter, items: Iterable[Item], *, own: bool) -> None:
    """Write the chunks that are not on disk yet."""
    done, last = writer.done_chunks(), time.monotonic()
    known = {derive(0, uid) for uid in writer.uids()}
    for number, group in groupby(items, key=lambda item: item[0] // writer.chunk):
        if number in done:
            continue
        chunk = _convert(group, known, own)
        reasons = Counter(str(row["outcome"]) for row in chunk.refused)
        now = time.monotonic()
        writer.write_chunk(number, EncodedChunk(tuple(chunk.rows)), reasons, now - last, chunk.refused)
        last = now


def _convert(group: Iterator[Item], known: set[int], own: bool) -> _Chunk:
    """The rows of one chunk, encoded one by one, so that the pixels of one pair only are in memory.

    ``known`` records an index for each uid, so that duplicates are found immediately and not at the end.
    """
    chunk, taken = _Chunk([], []), set[int]()
    for index, where, item in group:
        made = item if isinstance(item, Refused) else to_record(item, where=where, index=index, gates=GATES, own=own)
        if isinstance(made, PairRecord):
            made = _unless_duplicate(made, taken, known)
        if isinstance(made, Refused):
            chunk.refused.append({"name": where, "outcome": made.reason, "detail": made.detail})
        else:
            chunk.rows.extend(encode_rows([made]).rows)
    return chunk


def _unless_duplicate(record: PairRecord, taken: set[int], known: set[int]) -> PairRecord | Refused:
    """The record, or a refusal if its index or uid is a duplicate."""
    code = derive(0, record.uid)
    if record.index in taken:
        return Refused("duplicate_index", f"index {record.index} came before")
    if code in known:
        return Refused("duplicate_uid", f"uid {record.uid} came before")
    taken.add(record.index)
    known.add(code)
    return record


def _manifest(config: Mapping[str, object], source: Path, marker: dict[str, Any] | None) -> Manifest:
    """The manifest, with parents and instruments of our own export."""
    if marker is None:
        return Manifest(kind="pairs", config=config)
    try:
        parent = Parent("pairs", str(source.resolve()), str(marker["content_hash"]))
        instruments = tuple(Instrument(**row) for row in marker["instruments"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{source / MARKER} is damaged ({error}); export the pairs again") from error
    return Manifest(kind="pairs", config=config, parents=(parent,), instruments=instruments)


def _summary(out: Path, found: str, marker: dict[str, Any] | None) -> dict[str, object]:
    """Summary for the caller: counts by reason, missing masks, and whether the content equals that of the export."""
    store = PairStore.open(out)
    stats = store.stats()
    masks = Counter(str(json.loads(text).get("mask", "given")) for text in store.column("recipe"))
    facts = {"accepted": len(store), "refused": stats["rejected"], "by_reason": stats["by_reason"]}
    facts |= {"by_split": stats["by_split"], "masks": dict(sorted(masks.items())), "content_hash": found}
    return facts | ({"as_exported": found == marker["content_hash"]} if marker else {})
