"""``parts/CHUNK.json``: the record of one finished chunk, with the digests of its shards and rows."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asap.core.errors import StoreError
from asap.core.files import read_json
from asap.core.hashing import canonical_json, digest_file, digest_json_list

__all__ = [
    "REPAIR",
    "THREADS",
    "Chunk",
    "check_shards",
    "content_hash",
    "part_files",
    "part_path",
    "read_chunks",
    "read_part",
    "read_parts",
]

REPAIR: Final = "run the same `asap pairs build` again to repair it"
THREADS: Final = 4
"""Shards read at a time; hashing and Parquet release the interpreter lock."""
PART_NAME: Final = re.compile(r"\d{5,}\.json")
KEYS: Final = {"chunk", "shards", "rows", "rejected", "seconds", "sources"}


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """The record of a finished chunk, without its rows."""

    number: int
    shards: Mapping[str, str]
    """Path below the store's folder, and SHA-256 of the file."""
    accepted: int
    rejected: Mapping[str, int]
    """How many candidates were rejected for each reason."""
    seconds: float
    sources: list[dict[str, Any]]
    """The outcome for each photograph; empty for rendered people."""

    @classmethod
    def of(cls, part: Mapping[str, Any]) -> "Chunk":
        """The chunk of a part."""
        return cls(
            number=int(part["chunk"]),
            shards=part["shards"],
            accepted=len(part["rows"]),
            rejected=part["rejected"],
            seconds=part["seconds"],
            sources=part["sources"],
        )


def part_path(root: Path, number: int) -> Path:
    """Where the record of a chunk lies."""
    return root / "parts" / f"{number:05d}.json"


def part_files(root: Path) -> list[Path]:
    """The record of every finished chunk, in order."""
    found = (path for path in (root / "parts").glob("*.json") if PART_NAME.fullmatch(path.name))
    return sorted(found, key=lambda path: int(path.stem))


def read_part(path: Path) -> dict[str, Any]:
    """One record; raises ``StoreError`` if it is damaged."""
    part = read_json(path)
    if not isinstance(part, dict) or set(part) != KEYS:
        raise StoreError(f"{path} is damaged; {REPAIR}")
    return part


def read_parts(root: Path) -> Iterator[dict[str, Any]]:
    """The records of all finished chunks in order, one in memory at a time; raises ``StoreError`` at a damaged one."""
    return map(read_part, part_files(root))


def read_chunks(root: Path, notes: Mapping[str, object]) -> list[Chunk]:
    """The chunks of a finished store in order, verified against the hashes in its manifest's ``notes``.

    Raises:
        StoreError: a record or a shard is missing or damaged.
    """
    chunks: list[Chunk] = []

    def parts() -> Iterator[dict[str, Any]]:
        for part in read_parts(root):
            chunks.append(Chunk.of(part))
            yield part

    hashes = content_hash(parts()), digest_json_list(read_parts(root))
    if hashes != (notes.get("content_hash"), notes.get("parts_hash")):
        raise StoreError(f"{root} does not match its manifest; {REPAIR}")
    check_shards(root, chunks)
    return chunks


def check_shards(root: Path, chunks: Iterable[Chunk]) -> None:
    """Raise ``StoreError`` if a shard is missing or is not what was written."""

    def check(name: str, wanted: str) -> None:
        path = root / name
        if not path.is_file():
            raise StoreError(f"{path} is missing; {REPAIR}")
        if digest_file(path) != wanted:
            raise StoreError(f"{path} is corrupt (not the bytes that were written); {REPAIR}")

    shards = [shard for chunk in chunks for shard in chunk.shards.items()]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(check, *zip(*shards, strict=True)) if shards else ())


def content_hash(parts: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 of the JSON list of (index, uid, digest) of all rows; ``parts`` come in order of their chunks.

    Raises:
        StoreError: there are no rows, or two rows share an index or a uid.
    """
    hasher, separator = hashlib.sha256(b"["), b""
    indices: list[int] = []
    uids = []
    for part in parts:
        if rows := part["rows"]:
            hasher.update(separator + canonical_json(rows)[1:-1].encode())
            separator = b","
            indices += [row[0] for row in rows]
            uids.append(pa.array([row[1] for row in rows], pa.string()))
    if not uids:
        raise StoreError("no pair was accepted; the reasons are in the rejection counts, ask for more pairs")
    if (np.diff(indices) <= 0).any():
        raise StoreError("two pairs share one index; build the store again")
    if pc.count_distinct(pa.chunked_array(uids)).as_py() < len(indices):
        raise StoreError("two pairs share one uid; build the store again")
    hasher.update(b"]")
    return hasher.hexdigest()
