"""Read a finished pair store: whole columns, single rows with decoded images, and its statistics."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from asap.core.errors import StoreError, UnknownNameError
from asap.core.files import read_json
from asap.core.manifest import Manifest
from asap.core.records import ByteArray, FloatArray
from asap.core.vocabulary import GATE_REASONS, SCREEN_REASON
from asap.stores.config import NAME as CONFIG
from asap.stores.pairs.encode import EncodedRow
from asap.stores.pairs.parts import THREADS, Chunk, read_chunks
from asap.stores.pairs.schema import GATES, IMAGES, JSON_COLUMNS, SCHEMA, SPLITS
from asap.stores.png import decode

__all__ = ["PairRow", "PairStore"]

SHARDS_IN_MEMORY: Final = 32
ROWS_IN_MEMORY: Final = 8
"""Rows of a shard that ``stream`` reads at once."""
IMAGE_COLUMNS_IN_MEMORY: Final = 6
"""Image columns of single shards: two shards with chosen, rejected and mask."""
COUNTED: Final = ("kind", "part", "operation", "severity", "category", "split")
"""Columns whose values ``stats`` counts."""

Table = Any
"""A ``pyarrow.Table``; pyarrow ships no types."""


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

    def __init__(self, root: Path, manifest: Manifest, chunks: Sequence[Chunk], split: str | None) -> None:
        """Use ``open``."""
        self.root, self.manifest, self.split = root, manifest, split
        self._chunks = chunks
        self._shards = sorted(name for chunk in chunks for name in chunk.shards if _split_of(name, split))
        self._load = lru_cache(SHARDS_IN_MEMORY)(self._read_shard)
        self._load_image = lru_cache(IMAGE_COLUMNS_IN_MEMORY)(self._read_shard)

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
                "is not finished; run the same `asap pairs build` again to continue"
                if (folder / "parts").is_dir()
                else "is not a pair store; make one with `asap pairs build`"
            )
            raise StoreError(f"{folder} {state}")
        manifest = Manifest.read(folder / "manifest.json")
        store = cls(folder, manifest, read_chunks(folder, manifest.notes), split)
        if not store._shards:
            raise StoreError(f"{folder} has no pair in the split {split!r}; ask for more pairs or another split")
        return store

    @property
    def content_hash(self) -> str:
        """Hash over all rows of all splits."""
        return str(self.manifest.notes["content_hash"])

    @property
    def chunk(self) -> int:
        """Number of consecutive indices in a chunk, as the store was started."""
        config = cast("dict[str, Any]", read_json(self.root / CONFIG))
        return int(config["chunk"])

    def __len__(self) -> int:
        return sum(chunk.accepted for chunk in self._chunks) if self.split is None else len(self._places)

    def column(self, name: str) -> list[Any]:
        """All values of one column; see ``columns``, which reads several at the cost of one."""
        return self.columns(name)[name]

    def columns(self, *names: str) -> dict[str, list[Any]]:
        """All values of several columns in index order, in one pass over the shards.

        Images stay PNG bytes, JSON columns stay text.

        Raises:
            UnknownNameError: no such column.
        """
        table = self._table(names)
        return {name: table.column(name).to_pylist() for name in names}

    def row(self, position: int) -> PairRow:
        """The row at ``position`` (0 to len - 1, not its ``index``), decoded; raises ``IndexError`` beyond the end."""
        shard, row = self._places[position]
        columns = cast("dict[str, Any]", self._load(int(shard)).slice(row, 1).to_pylist()[0])
        gates = {name: columns[f"gate_{name}"] for name in GATES if columns[f"gate_{name}"] is not None}
        columns |= {name: decode(columns[name]["bytes"]) for name in IMAGES}
        columns |= {name: json.loads(columns[name]) for name in JSON_COLUMNS}
        columns |= {name: tuple(columns[name]) for name in ("box", "visible_parts", "parents")}
        columns |= {"gates": gates, "keypoints": np.asarray(columns["keypoints"], np.float32).reshape(-1, 3)}
        return PairRow(**{field.name: columns[field.name] for field in fields(PairRow)})

    def rows(self, positions: Iterable[int]) -> list[PairRow]:
        """Several rows in the given order."""
        return [self.row(position) for position in positions]

    def stream(self) -> Iterator[dict[str, Any]]:
        """All rows in index order as plain values: images as PNG bytes, JSON columns as dictionaries.

        A few rows are in memory at a time, however large the store is.
        """
        for row in self._stored_rows():
            images = {name: row[name]["bytes"] for name in IMAGES}
            yield row | images | {name: json.loads(row[name]) for name in JSON_COLUMNS}

    def encoded(self) -> Iterator[EncodedRow]:
        """All rows in index order as they were written, for a copy of some of them; memory as for ``stream``."""
        for row in self._stored_rows():
            yield EncodedRow(index=row["index"], uid=row["uid"], split=row["split"], digest=row["digest"], columns=row)

    def image(self, position: int, name: str) -> bytes:
        """One image of the row at ``position`` as PNG bytes; reads that column of its shard only.

        Raises:
            UnknownNameError: no such image.
        """
        if name not in IMAGES:
            raise UnknownNameError("image", name, IMAGES)
        shard, row = self._places[position]
        return bytes(self._load_image(int(shard), (name,)).column(name)[int(row)].as_py()["bytes"])

    def shards(self) -> list[tuple[str, int, str]]:
        """Name, bytes and SHA-256 of every shard of this split, in order."""
        digests = {name: key for chunk in self._chunks for name, key in chunk.shards.items()}
        return [(name, (self.root / name).stat().st_size, digests[name]) for name in self._shards]

    def outcomes(self) -> Iterator[dict[str, Any]]:
        """The outcome for each photograph, in order; none for rendered people."""
        for chunk in self._chunks:
            yield from chunk.sources

    def stats(self) -> dict[str, Any]:
        """Counts and means over the rows of this split, and what was rejected (of all splits).

        ``*_mean`` are over all accepted pairs that measured the value; ``region_ssim_mean_defect`` leaves null edits
        out. ``pass_share`` is the share of all candidates that passed the gates. ``by_outcome`` counts
        photographs. ``pairs_per_second`` is accepted pairs of all splits over the build's wall-clock time.
        """
        reasons: Counter[str] = Counter()
        for chunk in self._chunks:
            reasons.update(chunk.rejected)
        gates = ("max_abs_diff_outside", "background_ssim", "region_ssim")
        table = self._table((*COUNTED, *(f"gate_{name}" for name in gates)))
        outside, background, region = (table.column(f"gate_{name}") for name in gates)
        seconds = sum(chunk.seconds for chunk in self._chunks)
        total = sum(chunk.accepted for chunk in self._chunks)
        return {
            "accepted": len(table),
            "rejected": reasons.total(),
            "content_hash": self.content_hash,
            "max_abs_diff_outside": pc.max(outside).as_py(),
            "background_ssim_mean": _mean(background),
            "region_ssim_mean": _mean(region),
            "region_ssim_mean_defect": _mean(region.filter(pc.equal(table.column("kind"), "defect"))),
            "pass_share": total / max(1, total + sum(reasons[reason] for reason in (*GATE_REASONS, SCREEN_REASON))),
            "by_reason": _sorted(reasons),
            "by_outcome": _sorted(Counter(source["outcome"] for source in self.outcomes())),
            **{f"by_{name}": _counts(table.column(name)) for name in COUNTED},
            "pairs_per_second": total / seconds if seconds > 0 else None,
        }

    @cached_property
    def _places(self) -> npt.NDArray[np.int64]:
        """(N, 2) number of the shard and row within it, for each row in index order."""
        return _places(self._read(()))

    def _table(self, names: Sequence[str]) -> Table:
        """Several columns of all rows in index order, images as binary; raises ``UnknownNameError``."""
        if unknown := [name for name in names if name not in SCHEMA.names]:
            raise UnknownNameError("column", unknown[0], SCHEMA.names)
        shards = self._read(names)
        places = self.__dict__.setdefault("_places", _places(shards))
        starts = np.cumsum([0, *map(len, shards)])
        return pa.concat_tables(shards).combine_chunks().take(starts[places[:, 0]] + places[:, 1])

    def _read(self, names: Sequence[str]) -> list[Table]:
        """The named columns of every shard, and their indices."""
        columns = tuple(dict.fromkeys(("index", *names)))
        with ThreadPoolExecutor(THREADS) as pool:
            shards = list(pool.map(lambda number: self._read_shard(number, columns), range(len(self._shards))))
        for name in set(columns) & set(IMAGES):  # one shard's images fit the 2 GB of a binary column, all may not
            kind = pa.large_binary()
            shards = [
                shard.set_column(
                    shard.column_names.index(name), name, pc.struct_field(shard.column(name), "bytes").cast(kind)
                )
                for shard in shards
            ]
        return shards

    def _stored_rows(self) -> Iterator[dict[str, Any]]:
        for chunk in self._chunks:
            names = [name for name in chunk.shards if _split_of(name, self.split)]
            yield from merge(*map(self._shard_rows, names), key=itemgetter("index"))

    def _shard_rows(self, name: str) -> Iterator[dict[str, Any]]:
        path = self.root / name
        try:
            with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
                for batch in file.iter_batches(batch_size=ROWS_IN_MEMORY):
                    yield from batch.to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{path} cannot be read ({error}); build the store again") from error

    def _read_shard(self, number: int, columns: tuple[str, ...] | None = None) -> Table:
        path = self.root / self._shards[number]
        try:
            with pq.ParquetFile(path) as file:
                return file.read(columns=columns and list(columns), use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{path} cannot be read ({error}); build the store again") from error


def _places(shards: Sequence[Table]) -> npt.NDArray[np.int64]:
    """(N, 2) shard and row of each value of the column ``index``, in ascending order."""
    indices = np.concatenate([shard.column("index").to_numpy() for shard in shards])
    sizes = list(map(len, shards))
    numbers = np.repeat(np.arange(len(sizes)), sizes)
    rows = np.concatenate([np.arange(size) for size in sizes])
    return np.stack([numbers, rows], axis=1)[np.argsort(indices)]


def _split_of(name: str, split: str | None) -> bool:
    return split is None or name.startswith(f"data/{split}-")


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _counts(column: Any) -> dict[str, int]:  # noqa: ANN401 - pyarrow ships no types
    return _sorted({str(row["values"]): row["counts"] for row in pc.value_counts(column).to_pylist()})


def _mean(column: Any) -> float | None:  # noqa: ANN401 - pyarrow ships no types
    known = column.drop_null().to_numpy()
    return float(np.mean(known)) if len(known) else None
