"""Which place of an image is regenerated: a box around a part."""

from typing import Final

import numpy as np

from asap.core.records import BoolArray, ByteArray

__all__ = ["LARGEST", "region_box"]

AROUND: Final = 0.15
"""By how much the box of a part is widened on every side, as a share of its own sides."""
LARGEST: Final = 0.3
"""Largest share of the image that is regenerated; of a larger part, a piece."""


def region_box(seen: BoolArray, rng: np.random.Generator, largest: float = LARGEST) -> ByteArray:
    """A box around what is ``seen`` (H, W), 255 inside; above ``largest`` of the image, a random piece of the box."""
    low, high = [], []
    size = np.array(seen.shape, dtype=np.float64)
    for axis in (0, 1):
        line = np.flatnonzero(seen.any(axis=1 - axis))
        room = AROUND * (line[-1] + 1 - line[0])
        low.append(line[0] - room)
        high.append(line[-1] + 1 + room)
    first, last = np.maximum(low, 0.0), np.minimum(high, size)
    sides = last - first
    shrink = min(1.0, float(np.sqrt(largest * size.prod() / sides.prod())))
    first = first + rng.random(2) * sides * (1 - shrink)
    (top, left), (bottom, right) = np.floor(first).astype(int), np.ceil(first + sides * shrink).astype(int)
    mask = np.zeros(seen.shape, dtype=np.uint8)
    mask[top:bottom, left:right] = 255
    return mask
