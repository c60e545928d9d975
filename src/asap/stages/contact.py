"""[pairs] -> one picture to look at: chosen, rejected and mask side by side, with what was done written below."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from asap.core.errors import InputError
from asap.core.files import write_bytes
from asap.core.records import ByteArray
from asap.core.seeds import generator
from asap.stores.pairs import PairStore

_COLUMNS = 4
_LABEL = 14


def show_pairs(folder: Path, out: Path, *, count: int = 24, seed: int = 0) -> Path:
    """Write a contact sheet (PNG) of ``count`` pairs drawn from the store at ``folder``; returns ``out``.

    Raises:
        InputError: ``out`` does not end in .png, or cannot be written.
        StoreError: no usable store.
    """
    if out.suffix.lower() != ".png":
        raise InputError(f"a contact sheet is a PNG: expected a name ending in .png, got {out}")
    store = PairStore.open(folder)
    positions = generator(seed, "contact sheet").permutation(len(store))[:count]
    rows = store.rows(sorted(int(p) for p in positions))
    tiles = [
        _tile(row.chosen, row.rejected, row.mask, _title(row.part, row.side, row.operation, row.severity, row.kind))
        for row in rows
    ]
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % _COLUMNS)
    sheet = np.concatenate(
        [np.concatenate(tiles[k : k + _COLUMNS], axis=1) for k in range(0, len(tiles), _COLUMNS)], axis=0
    )
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, format="PNG")
    write_bytes(out, buffer.getvalue())
    return out


def _title(part: str, side: str, operation: str, severity: int, kind: str) -> str:
    where = part if side == "none" else f"{side} {part}"
    return f"{where}: {operation} {severity}" if kind == "defect" else f"{where}: {kind}"


def _tile(chosen: ByteArray, rejected: ByteArray, mask: ByteArray, title: str) -> ByteArray:
    tint = rejected.astype(np.float32)
    tint[mask > 0] = tint[mask > 0] * 0.6 + np.array([255.0, 40.0, 40.0]) * 0.4
    row = np.concatenate([chosen, rejected, tint.astype(np.uint8)], axis=1)
    frame = Image.new("RGB", (row.shape[1] + 6, row.shape[0] + _LABEL + 4), "white")
    frame.paste(Image.fromarray(row), (3, 2))
    ImageDraw.Draw(frame).text((4, row.shape[0] + 2), title, fill="black")
    return np.asarray(frame)
