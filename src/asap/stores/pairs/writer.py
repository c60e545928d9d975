"""Append chunks of pairs so that a kill at any moment costs at most the chunk that was being written."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from asap.core.errors import InputError, StoreError
from asap.core.files import TEMPORARY, read_json, write_bytes, write_json
from asap.core.hashing import digest, digest_file, digest_json
from asap.core.manifest import Manifest
from asap.core.records import PairRecord
from asap.stores.config import claim
from asap.stores.lock import WriterLock
from asap.stores.pairs.encode import EncodedChunk, EncodedRow, encode_rows
from asap.stores.pairs.schema import IMAGES, SCHEMA, SPLITS

__all__ = ["REPAIR", "PairWriter", "check_shards", "content_hash", "read_parts"]

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
            self._parts = _drop_damaged(self.root)
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
        return set(self._parts)

    def accepted(self) -> int:
        """Number of pairs on disk."""
        return sum(len(part["rows"]) for part in self._parts.values())

    def write_chunk(
        self,
        chunk_index: int,
        accepted: Sequence[PairRecord] | EncodedChunk,
        rejected: Mapping[str, int],
        seconds: float,
    ) -> None:
        """Write one chunk, all or nothing; writing a finished chunk again is refused.

        Args:
            chunk_index: number of the chunk, from 0.
            accepted: its pairs, or the same already encoded by ``encode_rows`` in a worker process.
            rejected: how many were refused for each reason.
            seconds: wall-clock time by which this chunk lengthened the build; ``pairs_per_second`` divides by the sum.

        Raises:
            InputError: an index lies outside the chunk or comes twice, or the disk refuses.
        """
        if chunk_index in self._parts:
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
        }
        write_json(_part_path(self.root, chunk_index), part)
        self._parts[chunk_index] = part

    def finish(self, manifest: Manifest) -> str:
        """Close the store with ``manifest`` (its notes gain the content hash and counts); returns the content hash.

        Raises:
            StoreError: two rows share an index or a uid, or no pair was accepted.
        """
        whole = content_hash(self._parts)
        self._sweep()
        notes = {
            **manifest.notes,
            "content_hash": whole,
            "parts_hash": digest_json([self._parts[index] for index in sorted(self._parts)]),
            "accepted": self.accepted(),
            "rejected": sum(sum(part["rejected"].values()) for part in self._parts.values()),
        }
        replace(manifest, notes=notes).write(self.root / "manifest.json")
        return whole

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
        known = {name for part in self._parts.values() for name in part["shards"]}
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
    return {int(path.stem): _read_part(path) for path in _part_files(root)}


def check_shards(root: Path, part: Mapping[str, Any]) -> None:
    """Raise ``StoreError`` if a shard of ``part`` is missing or is not what was written."""
    for name, wanted in part["shards"].items():
        path = root / name
        if not path.is_file():
            raise StoreError(f"{path} is missing; {REPAIR}")
        if digest_file(path) != wanted:
            raise StoreError(f"{path} is corrupt (not the bytes that were written); {REPAIR}")


def _part_files(root: Path) -> list[Path]:
    return sorted(path for path in (root / "parts").glob("*.json") if PART_NAME.fullmatch(path.name))


def _read_part(path: Path) -> dict[str, Any]:
    part = read_json(path)
    if not isinstance(part, dict) or set(part) != {"chunk", "shards", "rows", "rejected", "seconds"}:
        raise StoreError(f"{path} is damaged; {REPAIR}")
    return part


def _drop_damaged(root: Path) -> dict[int, dict[str, Any]]:
    """The sound chunks; the records of damaged ones are deleted."""
    sound = {}
    for path in _part_files(root):
        try:
            part = _read_part(path)
            check_shards(root, part)
        except StoreError:
            path.unlink()
        else:
            sound[int(path.stem)] = part
    return sound


def content_hash(parts: Mapping[int, Mapping[str, Any]]) -> str:
    """SHA-256 over (index, uid, digest) of all rows in index order.

    Raises:
        StoreError: there are no rows, or two rows share an index or a uid.
    """
    rows = sorted(row for part in parts.values() for row in part["rows"])
    if not rows:
        raise StoreError("no pair was accepted; the reasons are in the rejection counts, ask for more pairs")
    for position, word in ((0, "index"), (1, "uid")):
        if len({row[position] for row in rows}) != len(rows):
            raise StoreError(f"two pairs share one {word}; make the store anew")
    return digest_json(rows)


def _part_path(root: Path, chunk_index: int) -> Path:
    return root / "parts" / f"{chunk_index:05d}.json"


def _files(root: Path) -> Iterator[Path]:
    for folder in (root, root / "data", root / "parts"):
        yield from folder.glob("*")


def _parquet(rows: Sequence[EncodedRow]) -> bytes:
    """The rows as one Parquet file; pictures are compressed already, the rest is by zstd."""
    table = pa.Table.from_pylist([row.columns for row in rows], schema=SCHEMA)
    compression = {name: "zstd" for name in SCHEMA.names}
    compression |= {f"{name}.bytes": "none" for name in IMAGES}
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression=compression, use_dictionary=False, write_statistics=False)
    return buffer.getvalue()
