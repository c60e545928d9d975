"""Contact sheets of pair stores: chosen, rejected and mask side by side, with the edit as a caption.

Images larger than a tile show a square window around the edit.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from asap.core.errors import InputError
from asap.core.files import write_bytes
from asap.core.records import ByteArray
from asap.core.seeds import generator
from asap.core.vocabulary import UNKNOWN
from asap.stores.pairs import PairRow, PairStore

_COLUMNS = 4
_LABEL = 14
_TILE = 192
"""Largest side of a tile; smaller images are shown unchanged."""
_AROUND = 1.7
"""Side of the window over that of the box of the edit."""


def show_pairs(folder: Path, out: Path, *, count: int = 24, seed: int = 0) -> Path:
    """Write a contact sheet (PNG) of ``count`` pairs sampled from the store at ``folder``; returns ``out``.

    Raises:
        InputError: ``out`` does not end in .png, or cannot be written.
        StoreError: no usable store.
    """
    if out.suffix.lower() != ".png":
        raise InputError(f"a contact sheet is a PNG: expected a name ending in .png, got {out}")
    store = PairStore.open(folder)
    positions = generator(seed, "contact sheet").permutation(len(store))[:count]
    rows = store.rows(sorted(int(p) for p in positions))
    tiles = [_tile(*_views(row), _title(row)) for row in rows]
    largest = [max(tile.shape[axis] for tile in tiles) for axis in (0, 1)]
    tiles = [_padded(tile, largest[0], largest[1]) for tile in tiles]
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % _COLUMNS)
    sheet = np.concatenate(
        [np.concatenate(tiles[k : k + _COLUMNS], axis=1) for k in range(0, len(tiles), _COLUMNS)], axis=0
    )
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, format="PNG")
    write_bytes(out, buffer.getvalue())
    return out


def _views(row: PairRow) -> tuple[ByteArray, ByteArray, ByteArray]:
    """Chosen, rejected and mask, complete or the window around the edit."""
    if max(row.width, row.height) <= _TILE:
        return row.chosen, row.rejected, row.mask
    x0, y0, x1, y1 = row.box if any(row.box) else (0, 0, row.width, row.height)
    side = min(max(int(max(x1 - x0, y1 - y0) * _AROUND), _TILE // 3), row.width, row.height)
    left = min(max((x0 + x1 - side) // 2, 0), row.width - side)
    top = min(max((y0 + y1 - side) // 2, 0), row.height - side)
    cut = (slice(top, top + side), slice(left, left + side))
    return _square(row.chosen[cut]), _square(row.rejected[cut]), _square(row.mask[cut])


def _square(image: ByteArray) -> ByteArray:
    how = Image.Resampling.LANCZOS if image.ndim == 3 else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(image).resize((_TILE, _TILE), how))


def _padded(tile: ByteArray, height: int, width: int) -> ByteArray:
    below, right = height - tile.shape[0], width - tile.shape[1]
    return np.pad(tile, ((0, below), (0, right), (0, 0)), constant_values=255)


def _title(row: PairRow) -> str:
    """Part, operation and severity if known; otherwise the caption or the file name."""
    part = "" if row.part == UNKNOWN else row.part if row.side == "none" else f"{row.side} {row.part}"
    if row.kind != "defect":
        done = row.kind
    else:
        done = "" if row.operation == UNKNOWN else row.operation
    known = ": ".join(word for word in (part, done) if word) or row.prompt or row.source or row.uid
    title = f"{known} {row.severity}" if row.severity else known
    return title.encode("ascii", "replace").decode()  # available in every font


def _tile(chosen: ByteArray, rejected: ByteArray, mask: ByteArray, title: str) -> ByteArray:
    tint = rejected.astype(np.float32)
    tint[mask > 0] = tint[mask > 0] * 0.6 + np.array([255.0, 40.0, 40.0]) * 0.4
    row = np.concatenate([chosen, rejected, tint.astype(np.uint8)], axis=1)
    frame = Image.new("RGB", (row.shape[1] + 6, row.shape[0] + _LABEL + 4), "white")
    frame.paste(Image.fromarray(row), (3, 2))
    ImageDraw.Draw(frame).text((4, row.shape[0] + 2), title, fill="black")
    return np.asarray(frame)
