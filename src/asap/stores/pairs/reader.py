"""Read a finished pair store: whole columns, single rows with decoded images, and its statistics."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from asap.core.errors import StoreError, UnknownNameError
from asap.core.files import read_json
from asap.core.hashing import digest_json
from asap.core.manifest import Manifest
from asap.core.records import ByteArray, FloatArray
from asap.core.vocabulary import GATE_REASONS, SCREEN_REASON
from asap.stores.config import NAME as CONFIG
from asap.stores.pairs.encode import EncodedRow
from asap.stores.pairs.schema import GATES, IMAGES, JSON_COLUMNS, SCHEMA, SPLITS
from asap.stores.pairs.writer import REPAIR, check_shards, content_hash, read_parts
from asap.stores.png import decode

__all__ = ["PairRow", "PairStore"]

SHARDS_IN_MEMORY = 32
ROWS_IN_MEMORY = 8
"""Rows of a shard that ``stream`` reads at once."""
PICTURES_IN_MEMORY = 6
"""Image columns of single shards: two shards with chosen, rejected and mask."""


@dataclass(frozen=True, kw_only=True)
class PairRow:
    """One row with its images decoded; the fields are the columns, JSON columns as dictionaries."""

    uid: str
    index: int
    prompt: str
    chosen: ByteArray
    """(H, W, 3) sRGB."""
    rejected: ByteArray
    """(H, W, 3) sRGB."""
    mask: ByteArray
    """(H, W) 0 or 255."""
    regions: ByteArray
    """(H, W) index into ``vocabulary.REGIONS``."""
    kind: str
    part: str
    side: str
    operation: str
    severity: int
    category: str
    person: str
    split: str
    source: str
    box: tuple[int, ...]
    keypoints: FloatArray
    """(N, 3) x, y in pixels and visibility."""
    attributes: dict[str, str]
    visible_parts: tuple[str, ...]
    gates: dict[str, float]
    seed: int
    recipe: dict[str, float | int | str]
    detail: dict[str, float | int | str]
    parents: tuple[str, ...]
    width: int
    height: int
    digest: str


class PairStore:
    """Rows of one finished store in index order, of one split or of all."""

    def __init__(
        self, root: Path, manifest: Manifest, parts: Mapping[int, Mapping[str, Any]], split: str | None
    ) -> None:
        """Use ``open``."""
        self.root, self.manifest, self.split = root, manifest, split
        self._parts = parts
        self._shards = sorted(name for part in parts.values() for name in part["shards"] if _split_of(name, split))
        self._load = lru_cache(SHARDS_IN_MEMORY)(self._read)
        self._pictures = lru_cache(PICTURES_IN_MEMORY)(self._read)
        indices = [(index, shard, row) for shard, name in enumerate(self._shards) for row, index in self._indices(name)]
        self._rows = [(shard, row) for _, shard, row in sorted(indices)]

    @classmethod
    def open(cls, root: Path | str, *, split: str | None = None) -> "PairStore":
        """Open the store at ``root`` and verify every file against its digest.

        Raises:
            StoreError: it is missing, unfinished, damaged, or has no row (of that split).
            UnknownNameError: no such split.
        """
        folder = Path(root)
        if split is not None and split not in SPLITS:
            raise UnknownNameError("split", split, SPLITS)
        if not (folder / "manifest.json").is_file():
            state = (
                "is not finished; run the same `asap pairs build` again to go on"
                if (folder / "parts").is_dir()
                else ("is no pair store; make one with `asap pairs build`")
            )
            raise StoreError(f"{folder} {state}")
        manifest, parts = Manifest.read(folder / "manifest.json"), read_parts(folder)
        _verify(folder, manifest, parts)
        store = cls(folder, manifest, parts, split)
        if not len(store):
            raise StoreError(f"{folder} has no pair in the split {split!r}; ask for more pairs or another split")
        return store

    @property
    def content_hash(self) -> str:
        """Hash over all rows of all splits."""
        return str(self.manifest.notes["content_hash"])

    @property
    def chunk(self) -> int:
        """Number of consecutive indices in a chunk, as the store was begun."""
        config = cast("dict[str, Any]", read_json(self.root / CONFIG))
        return int(config["chunk"])

    def __len__(self) -> int:
        return len(self._rows)

    def column(self, name: str) -> list[Any]:
        """All values of one column in index order; images stay PNG bytes, JSON columns stay text.

        Raises:
            UnknownNameError: no such column.
        """
        if name not in SCHEMA.names:
            raise UnknownNameError("column", name, SCHEMA.names)
        values = [self._read(shard, (name,)).column(name).to_pylist() for shard in range(len(self._shards))]
        found = [values[shard][row] for shard, row in self._rows]
        return [value["bytes"] for value in found] if name in IMAGES else found

    def row(self, position: int) -> PairRow:
        """The row at ``position`` (0 to len - 1, not its ``index``), decoded; raises ``IndexError`` beyond the end."""
        shard, row = self._rows[position]
        columns = cast("dict[str, Any]", self._load(shard).slice(row, 1).to_pylist()[0])
        gates = {name: columns[f"gate_{name}"] for name in GATES if columns[f"gate_{name}"] is not None}
        columns |= {name: decode(columns[name]["bytes"]) for name in IMAGES}
        columns |= {name: json.loads(columns[name]) for name in JSON_COLUMNS}
        columns |= {name: tuple(columns[name]) for name in ("box", "visible_parts", "parents")}
        columns |= {"gates": gates, "keypoints": np.asarray(columns["keypoints"], np.float32).reshape(-1, 3)}
        return PairRow(**{field.name: columns[field.name] for field in fields(PairRow)})

    def rows(self, positions: Iterable[int]) -> list[PairRow]:
        """Several rows in the order asked."""
        return [self.row(position) for position in positions]

    def stream(self) -> Iterator[dict[str, Any]]:
        """All rows in index order as plain values: images as PNG bytes, JSON columns as dictionaries.

        A few rows are in memory at a time, however large the store is.
        """
        for row in self._stored_rows():
            pictures = {name: row[name]["bytes"] for name in IMAGES}
            yield row | pictures | {name: json.loads(row[name]) for name in JSON_COLUMNS}

    def encoded(self) -> Iterator[EncodedRow]:
        """All rows in index order as they were written, for a copy of some of them; memory as for ``stream``."""
        for row in self._stored_rows():
            yield EncodedRow(index=row["index"], uid=row["uid"], split=row["split"], digest=row["digest"], columns=row)

    def picture(self, position: int, name: str) -> bytes:
        """One image of the row at ``position`` as PNG bytes; reads that column of its shard only.

        Raises:
            UnknownNameError: no such image.
        """
        if name not in IMAGES:
            raise UnknownNameError("picture", name, IMAGES)
        shard, row = self._rows[position]
        return bytes(self._pictures(shard, (name,)).column(name)[row].as_py()["bytes"])

    def shards(self) -> list[tuple[str, int, str]]:
        """Name, bytes and SHA-256 of every shard of this split, in order."""
        digests = {name: key for part in self._parts.values() for name, key in part["shards"].items()}
        return [(name, (self.root / name).stat().st_size, digests[name]) for name in self._shards]

    def outcomes(self) -> Iterator[dict[str, Any]]:
        """What became of each photograph, in order; none for rendered people."""
        for number in sorted(self._parts):
            yield from self._parts[number]["sources"]

    def stats(self) -> dict[str, Any]:
        """Counts and means over the rows of this split, and what was rejected (of all splits).

        ``*_mean`` are over all accepted pairs that measured the value; ``region_ssim_mean_defect`` leaves null edits
        out. ``pass_share`` is the share of all pairs made that passed the gates. ``by_outcome`` counts
        photographs. ``pairs_per_second`` is accepted pairs of all splits over the build's wall-clock time.
        """
        reasons: Counter[str] = Counter()
        for part in self._parts.values():
            reasons.update(part["rejected"])
        kinds, region = self.column("kind"), self.column("gate_region_ssim")
        seconds = sum(part["seconds"] for part in self._parts.values())
        total = sum(len(part["rows"]) for part in self._parts.values())
        return {
            "accepted": len(self),
            "rejected": reasons.total(),
            "content_hash": self.content_hash,
            "max_abs_diff_outside": max(self.column("gate_max_abs_diff_outside")),
            "background_ssim_mean": _mean(self.column("gate_background_ssim")),
            "region_ssim_mean": _mean(region),
            "region_ssim_mean_defect": _mean(
                value for value, kind in zip(region, kinds, strict=True) if kind == "defect"
            ),
            "pass_share": total / max(1, total + sum(reasons[reason] for reason in (*GATE_REASONS, SCREEN_REASON))),
            "by_reason": _sorted(reasons),
            "by_outcome": _sorted(
                Counter(source["outcome"] for part in self._parts.values() for source in part["sources"])
            ),
            "by_kind": _sorted(Counter(kinds)),
            **{f"by_{name}": _sorted(Counter(map(str, self.column(name)))) for name in _COUNTED},
            "pairs_per_second": total / seconds if seconds > 0 else None,
        }

    def _indices(self, name: str) -> Iterable[tuple[int, int]]:
        shard = self._shards.index(name)
        return enumerate(self._read(shard, ("index",)).column("index").to_pylist())

    def _stored_rows(self) -> Iterator[dict[str, Any]]:
        for number in sorted(self._parts):
            names = [name for name in self._parts[number]["shards"] if _split_of(name, self.split)]
            yield from merge(*map(self._shard_rows, names), key=itemgetter("index"))

    def _shard_rows(self, name: str) -> Iterator[dict[str, Any]]:
        path = self.root / name
        try:
            with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
                for batch in file.iter_batches(batch_size=ROWS_IN_MEMORY):
                    yield from batch.to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{path} cannot be read ({error}); make the store anew") from error

    def _read(self, shard: int, columns: tuple[str, ...] | None = None) -> Any:  # noqa: ANN401 - pyarrow has no types
        path = self.root / self._shards[shard]
        try:
            return pq.read_table(path, columns=list(columns) if columns else None, partitioning=None, memory_map=True)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{path} cannot be read ({error}); make the store anew") from error


_COUNTED = ("part", "operation", "severity", "category", "split")


def _split_of(name: str, split: str | None) -> bool:
    return split is None or name.startswith(f"data/{split}-")


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _verify(root: Path, manifest: Manifest, parts: Mapping[int, Mapping[str, Any]]) -> None:
    """Raise ``StoreError`` unless parts match the manifest, and every shard its part."""
    ordered = [parts[index] for index in sorted(parts)]
    if (
        digest_json(ordered) != manifest.notes.get("parts_hash")
        or content_hash(ordered) != manifest.notes["content_hash"]
    ):
        raise StoreError(f"{root} does not match its manifest; {REPAIR}")
    for part in ordered:
        check_shards(root, part)
