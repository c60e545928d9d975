"""Append chunks of pairs so that a kill at any moment costs at most the chunk that was being written."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from asap.core.errors import InputError, StoreError
from asap.core.files import TEMPORARY, write_bytes, write_json
from asap.core.hashing import digest, digest_json_list
from asap.core.manifest import Manifest
from asap.core.records import PairRecord
from asap.stores.config import claim
from asap.stores.lock import WriterLock
from asap.stores.pairs.encode import EncodedChunk, EncodedRow, encode_rows
from asap.stores.pairs.parts import Chunk, check_shards, content_hash, part_files, part_path, read_part, read_parts
from asap.stores.pairs.schema import IMAGES, SCHEMA, SPLITS

__all__ = ["PairWriter"]


class PairWriter:
    """One writer of the store at ``root``; use it as a context manager, so that its lock is released."""

    def __init__(self, root: Path | str, config: Mapping[str, object], chunk: int) -> None:
        """Start a store, or continue one that was started with the same settings.

        Chunks whose files are missing or corrupt are dropped, so that the next build makes only these again.

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
            self._rows = _verified_rows(self.root)
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
        """Release the lock; chunks already written stay."""
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
            rejected: how many were rejected for each reason.
            seconds: wall-clock time by which this chunk lengthened the build; ``pairs_per_second`` divides by the sum.
            sources: the outcome for each photograph of the chunk, JSON values; empty for rendered people.

        Raises:
            InputError: an index lies outside the chunk or comes twice, or the disk cannot be written.
        """
        if chunk_index in self._rows:
            raise InputError(f"chunk {chunk_index} of {self.root} is written already; check done_chunks() first")
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
        write_json(part_path(self.root, chunk_index), part)
        self._rows[chunk_index] = len(encoded.rows)

    def finish(self, manifest: Manifest) -> str:
        """Close the store with ``manifest`` (its notes gain the content hash and counts); returns the content hash.

        Raises:
            StoreError: two rows share an index or a uid, or no pair was accepted.
        """
        whole = content_hash(read_parts(self.root))
        self._sweep()
        notes = {
            **manifest.notes,
            "content_hash": whole,
            "parts_hash": digest_json_list(read_parts(self.root)),
            "accepted": self.accepted(),
            "rejected": sum(sum(part["rejected"].values()) for part in read_parts(self.root)),
        }
        replace(manifest, notes=notes).write(self.root / "manifest.json")
        return whole

    def sources(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Number of the chunk and the outcome for each photograph, in order, from the disk."""
        for part in read_parts(self.root):
            yield from ((int(part["chunk"]), source) for source in part["sources"])

    def recipes(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Number of the chunk and recipe of every pair on disk, in order of the chunks."""
        for part in read_parts(self.root):
            for name in part["shards"]:
                column = pq.read_table(self.root / name, columns=["recipe"], partitioning=None).column("recipe")
                yield from ((int(part["chunk"]), json.loads(text)) for text in column.to_pylist())

    def uids(self) -> Iterator[str]:
        """The uid of every pair on disk."""
        for part in read_parts(self.root):
            yield from (str(row[1]) for row in part["rows"])

    def _check(self, chunk_index: int, encoded: EncodedChunk) -> None:
        first = chunk_index * self.chunk
        indices = [row.index for row in encoded.rows]
        outside = [index for index in indices if not first <= index < first + self.chunk]
        if chunk_index < 0 or outside or len(set(indices)) != len(indices):
            raise InputError(
                f"chunk {chunk_index} holds indices {first} to {first + self.chunk - 1}, each once; got {indices}"
            )

    def _sweep(self) -> None:
        """Remove files that killed writers left: shards that no part names, and temporary files."""
        known = {name for part in read_parts(self.root) for name in part["shards"]}
        for path in _files(self.root):
            if path.name.startswith(TEMPORARY) or (
                path.suffix == ".parquet" and path.relative_to(self.root).as_posix() not in known
            ):
                path.unlink(missing_ok=True)


def _verified_rows(root: Path) -> dict[int, int]:
    """Number of rows of each undamaged chunk; the records of damaged ones are deleted."""
    rows = {}
    for path in part_files(root):
        try:
            chunk = Chunk.of(read_part(path))
            check_shards(root, [chunk])
        except StoreError:
            path.unlink()
        else:
            rows[chunk.number] = chunk.accepted
    return rows


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
