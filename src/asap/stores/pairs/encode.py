"""From records to rows of bytes. This is the costly half of writing, so worker processes may do it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asap.core.errors import AsapError, InputError
from asap.core.hashing import canonical_json, digest
from asap.core.records import PairRecord
from asap.stores.pairs.schema import GATES, IMAGES, SPLITS
from asap.stores.png import encode

__all__ = ["EncodedChunk", "EncodedRow", "encode_rows"]


@dataclass(frozen=True, kw_only=True)
class EncodedRow:
    """One pair ready to be written: ``columns`` has the store's columns, images as PNG bytes."""

    index: int
    uid: str
    split: str
    digest: str
    """SHA-256 over the pixels and all other columns; independent of how the images were compressed."""
    columns: dict[str, object]


@dataclass(frozen=True)
class EncodedChunk:
    """Rows of one chunk in index order; small enough to be sent between processes."""

    rows: tuple[EncodedRow, ...]


def encode_rows(accepted: Sequence[PairRecord]) -> EncodedChunk:
    """Check, measure, hash and compress accepted pairs; about 1 ms per pair of 128 x 128 pixels.

    ``gate_max_abs_diff_outside`` is measured here from the arrays that are stored, whatever the record claims.

    Raises:
        InputError: the images of a record differ in size, or its mask is not 0 and 255.
        AsapError: a gate value has no column, a split is unknown, or a record claims another difference than it has.
    """
    return EncodedChunk(tuple(sorted(map(_encode_row, accepted), key=lambda row: row.index)))


def _encode_row(record: PairRecord) -> EncodedRow:
    columns = _plain_columns(record)
    arrays = {name: np.ascontiguousarray(getattr(record, name)) for name in IMAGES}
    pixels = b"".join(str(array.shape).encode() + array.tobytes() for array in arrays.values())
    key = digest(pixels + canonical_json(columns).encode())
    images = {name: {"bytes": encode(array), "path": None} for name, array in arrays.items()}
    return EncodedRow(
        index=record.index,
        uid=record.uid,
        split=record.split,
        digest=key,
        columns={**columns, **images, "digest": key},
    )


def _plain_columns(record: PairRecord) -> dict[str, object]:
    """Every column but the images and the digest, as plain values."""
    if record.split not in SPLITS:
        raise AsapError(f"pair {record.uid} is in split {record.split!r}; known: {', '.join(SPLITS)}")
    edit, truth = record.edit, record.truth
    height, width = record.chosen.shape[:2]
    return {
        "uid": record.uid,
        "index": record.index,
        "prompt": record.prompt,
        "kind": edit.kind,
        "part": edit.part,
        "side": edit.side,
        "operation": edit.operation,
        "severity": edit.severity,
        "category": truth.category,
        "person": truth.person,
        "split": record.split,
        "source": record.source,
        "box": [int(value) for value in record.box],
        "keypoints": np.asarray(record.keypoints, np.float32).tolist(),
        "attributes": canonical_json(truth.attributes),
        "visible_parts": list(truth.visible_parts),
        "seed": int(truth.seed),
        "recipe": canonical_json(record.recipe),
        "detail": canonical_json(edit.detail),
        "parents": list(record.parents),
        "width": width,
        "height": height,
        **_gate_columns(record),
    }


def _gate_columns(record: PairRecord) -> dict[str, float | None]:
    values = dict(record.gates.values)
    unknown = sorted(set(values) - set(GATES))
    if unknown:
        raise AsapError(f"pair {record.uid} has gate values without a column: {', '.join(unknown)}")
    measured = _difference_outside(record)
    if values.setdefault("max_abs_diff_outside", measured) != measured:
        claim = values["max_abs_diff_outside"]
        raise AsapError(f"pair {record.uid} claims a difference of {claim} outside its mask and has {measured}")
    return {f"gate_{name}": float(values[name]) if name in values else None for name in GATES}


def _difference_outside(record: PairRecord) -> float:
    """Largest absolute difference between chosen and rejected where the mask is 0, in grey levels 0 to 255."""
    shape = record.chosen.shape[:2]
    if record.chosen.shape != (*shape, 3) or record.rejected.shape != record.chosen.shape:
        raise InputError(
            f"pair {record.uid}: want chosen and rejected of one size (H, W, 3), "
            f"got {record.chosen.shape} and {record.rejected.shape}"
        )
    for name, array in (("mask", record.mask), ("regions", record.regions)):
        if array.shape != shape:
            raise InputError(f"pair {record.uid}: the {name} must be {shape} as its images, got {array.shape}")
    inside = record.mask == 255
    if not (inside | (record.mask == 0)).all():
        raise InputError(f"pair {record.uid}: a mask holds 0 and 255 only")
    low, high = np.minimum(record.chosen, record.rejected), np.maximum(record.chosen, record.rejected)
    return float((high - low).max(axis=-1, initial=0)[~inside].max(initial=0))
