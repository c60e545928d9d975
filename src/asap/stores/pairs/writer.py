"""Append chunks of pairs so that a kill at any moment costs at most the chunk that was being written."""

import io
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from asap.core.errors import InputError, StoreError
from asap.core.files import TEMPORARY, read_json, write_bytes, write_json
from asap.core.hashing import digest, digest_file, digest_json_list
from asap.core.manifest import Manifest
from asap.core.records import PairRecord
from asap.core.seeds import derive
from asap.stores.config import claim
from asap.stores.lock import WriterLock
from asap.stores.pairs.encode import EncodedChunk, EncodedRow, encode_rows
from asap.stores.pairs.schema import IMAGES, SCHEMA, SPLITS

__all__ = ["REPAIR", "PairWriter", "check_shards", "content_hash", "iter_parts", "read_parts"]

REPAIR: Final = "run the same `asap pairs build` again to repair it"
PART_NAME: Final = re.compile(r"\d{5,}\.json")


class PairWriter:
    """One writer of the store at ``root``; use it as a context manager, so that its lock is given back."""

    def __init__(self, root: Path | str, config: Mapping[str, object], chunk: int) -> None:
        """Begin a store, or go on with one that was begun with the same settings.

        Chunks whose files are missing or corrupt are forgotten, so that building again makes just these anew.

        Args:
            root: the store's folder, made if it is missing.
            config: plain settings that decide the content (not the number of workers).
            chunk: number of consecutive indices in a chunk; chunk k holds indices k * chunk to (k + 1) * chunk - 1.

        Raises:
            InputError: the settings differ from those on disk, the folder holds something else or is unwritable.
            StoreError: another process is writing it, or it is damaged.
        """
        if chunk < 1:
            raise InputError(f"a chunk must hold at least 1 index, got {chunk}")
        self.root = Path(root)
        self.chunk = chunk
        self._lock = WriterLock(self.root)
        try:
            claim(self.root, "pairs", {**config, "chunk": chunk})
            self._rows = _drop_damaged(self.root)
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> "PairWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the lock back; chunks already written stay."""
        self._lock.release()

    def done_chunks(self) -> set[int]:
        """Numbers of the chunks that are on disk."""
        return set(self._rows)

    def accepted(self) -> int:
        """Number of pairs on disk."""
        return sum(self._rows.values())

    def write_chunk(
        self,
        chunk_index: int,
        accepted: Sequence[PairRecord] | EncodedChunk,
        rejected: Mapping[str, int],
        seconds: float,
        sources: Sequence[Mapping[str, object]] = (),
    ) -> None:
        """Write one chunk, all or nothing; writing a finished chunk again is refused.

        Args:
            chunk_index: number of the chunk, from 0.
            accepted: its pairs, or the same already encoded by ``encode_rows`` in a worker process.
            rejected: how many were refused for each reason.
            seconds: wall-clock time by which this chunk lengthened the build; ``pairs_per_second`` divides by the sum.
            sources: what became of each photograph of the chunk, plain values; empty for rendered people.

        Raises:
            InputError: an index lies outside the chunk or comes twice, or the disk refuses.
        """
        if chunk_index in self._rows:
            raise InputError(f"chunk {chunk_index} of {self.root} is written already; ask done_chunks() first")
        encoded = accepted if isinstance(accepted, EncodedChunk) else encode_rows(accepted)
        self._check(chunk_index, encoded)
        shards = {}
        for split in SPLITS:
            rows = [row for row in encoded.rows if row.split == split]
            if rows:
                name = f"data/{split}-{chunk_index:05d}.parquet"
                data = _parquet(rows)
                write_bytes(self.root / name, data)
                shards[name] = digest(data)
        part: dict[str, Any] = {
            "chunk": chunk_index,
            "shards": shards,
            "rows": [[row.index, row.uid, row.digest] for row in encoded.rows],
            "rejected": {reason: int(count) for reason, count in rejected.items() if count},
            "seconds": float(seconds),
            "sources": [dict(source) for source in sources],
        }
        write_json(_part_path(self.root, chunk_index), part)
        self._rows[chunk_index] = len(encoded.rows)

    def finish(self, manifest: Manifest) -> str:
        """Close the store with ``manifest`` (its notes gain the content hash and counts); returns the content hash.

        Raises:
            StoreError: two rows share an index or a uid, or no pair was accepted.
        """
        whole = content_hash(iter_parts(self.root))
        self._sweep()
        notes = {
            **manifest.notes,
            "content_hash": whole,
            "parts_hash": digest_json_list(iter_parts(self.root)),
            "accepted": self.accepted(),
            "rejected": sum(sum(part["rejected"].values()) for part in iter_parts(self.root)),
        }
        replace(manifest, notes=notes).write(self.root / "manifest.json")
        return whole

    def sources(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Number of the chunk and what became of each photograph, in order, from the disk."""
        for part in iter_parts(self.root):
            yield from ((int(part["chunk"]), source) for source in part["sources"])

    def uids(self) -> Iterator[str]:
        """The uid of every pair on disk."""
        for part in iter_parts(self.root):
            yield from (str(row[1]) for row in part["rows"])

    def _check(self, chunk_index: int, encoded: EncodedChunk) -> None:
        first = chunk_index * self.chunk
        indices = [row.index for row in encoded.rows]
        strangers = [index for index in indices if not first <= index < first + self.chunk]
        if chunk_index < 0 or strangers or len(set(indices)) != len(indices):
            raise InputError(
                f"chunk {chunk_index} holds indices {first} to {first + self.chunk - 1}, each once; got {indices}"
            )

    def _sweep(self) -> None:
        """Remove what killed writers left: shards that no part names, and temporary files."""
        known = {name for part in iter_parts(self.root) for name in part["shards"]}
        for path in _files(self.root):
            if path.name.startswith(TEMPORARY) or (
                path.suffix == ".parquet" and path.relative_to(self.root).as_posix() not in known
            ):
                path.unlink(missing_ok=True)


def read_parts(root: Path) -> dict[int, dict[str, Any]]:
    """The records of all finished chunks by number.

    Raises:
        StoreError: one of them is damaged.
    """
    return {int(part["chunk"]): part for part in iter_parts(root)}


def iter_parts(root: Path) -> Iterator[dict[str, Any]]:
    """The records of all finished chunks in order, one in memory at a time; raises ``StoreError`` at a damaged one."""
    yield from map(_read_part, _part_files(root))


def check_shards(root: Path, part: Mapping[str, Any]) -> None:
    """Raise ``StoreError`` if a shard of ``part`` is missing or is not what was written."""
    for name, wanted in part["shards"].items():
        path = root / name
        if not path.is_file():
            raise StoreError(f"{path} is missing; {REPAIR}")
        if digest_file(path) != wanted:
            raise StoreError(f"{path} is corrupt (not the bytes that were written); {REPAIR}")


def _part_files(root: Path) -> list[Path]:
    found = (path for path in (root / "parts").glob("*.json") if PART_NAME.fullmatch(path.name))
    return sorted(found, key=lambda path: int(path.stem))


def _read_part(path: Path) -> dict[str, Any]:
    part = read_json(path)
    if not isinstance(part, dict) or set(part) != {"chunk", "shards", "rows", "rejected", "seconds", "sources"}:
        raise StoreError(f"{path} is damaged; {REPAIR}")
    return part


def _drop_damaged(root: Path) -> dict[int, int]:
    """Rows of each sound chunk; the records of damaged ones are deleted."""
    sound = {}
    for path in _part_files(root):
        try:
            part = _read_part(path)
            check_shards(root, part)
        except StoreError:
            path.unlink()
        else:
            sound[int(path.stem)] = len(part["rows"])
    return sound


def content_hash(parts: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 over (index, uid, digest) of all rows in index order; ``parts`` come in order of their chunks.

    Raises:
        StoreError: there are no rows, or two rows share an index or a uid.
    """
    last, uids = -1, array("Q")

    def rows() -> Iterator[list[object]]:
        nonlocal last
        for part in parts:
            for index, uid, key in part["rows"]:  # in order within a chunk, because they were encoded so
                if index <= last:
                    raise StoreError("two pairs share one index; make the store anew")
                last = index
                uids.append(derive(0, uid))  # eight bytes a row in place of the text
                yield [index, uid, key]

    found = digest_json_list(rows())
    if not uids:
        raise StoreError("no pair was accepted; the reasons are in the rejection counts, ask for more pairs")
    if len(np.unique(np.frombuffer(uids, np.uint64))) != len(uids):
        raise StoreError("two pairs share one uid; make the store anew")
    return found


def _part_path(root: Path, chunk_index: int) -> Path:
    return root / "parts" / f"{chunk_index:05d}.json"


def _files(root: Path) -> Iterator[Path]:
    for folder in (root, root / "data", root / "parts"):
        yield from folder.glob("*")


def _parquet(rows: Sequence[EncodedRow]) -> bytes:
    """The rows as one Parquet file; images are compressed already, the rest is by zstd."""
    table = pa.Table.from_pylist([row.columns for row in rows], schema=SCHEMA)
    compression = {name: "zstd" for name in SCHEMA.names}
    compression |= {f"{name}.bytes": "none" for name in IMAGES}
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression=compression, use_dictionary=False, write_statistics=False)
    return buffer.getvalue()
