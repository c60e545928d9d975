"""Smooth fields inside a hole: one multigrid solver for membranes and seams.

The solution of Laplace's equation with the values around the hole is the membrane of Pérez, Gangnet and Blake (Poisson
Image Editing, 2003). A right-hand side of jumps at the rim fits copied pixels to their surroundings.
"""

import numpy as np
from scipy import ndimage

from asap.core.records import BoolArray, Floats

_COARSEST = 6


def _beside(values: Floats) -> Floats:
    """Sum of the four neighbours; 0 beyond the border."""
    total = np.zeros_like(values)
    total[1:] += values[:-1]
    total[:-1] += values[1:]
    total[:, 1:] += values[:, :-1]
    total[:, :-1] += values[:, 1:]
    return total


def _relax(field: Floats, right: Floats, hole: Floats, count: Floats, rounds: int) -> Floats:
    """Damped Jacobi iterations of count * u - sum of neighbours = right inside the hole; ``field`` is 0 outside."""
    for _ in range(rounds):
        field = (field + 0.8 * ((_beside(field) + right) / count - field)) * hole
    return field


def _pairs(values: Floats) -> Floats:
    height, width = (n + n % 2 for n in values.shape[:2])
    padded = np.zeros((height, width, *values.shape[2:]), dtype=values.dtype)
    padded[: values.shape[0], : values.shape[1]] = values
    return padded.reshape(height // 2, 2, width // 2, 2, *values.shape[2:])


def _cycle(field: Floats, right: Floats, hole: Floats, loose: Floats) -> Floats:
    # a loose neighbour has no effect: it counts neither in the sum nor in the number of neighbours
    count = np.maximum(4 - _beside(loose * (1 - hole)), 1)
    if min(hole.shape[:2]) <= _COARSEST or not hole.any():
        return _relax(field, right, hole, count, 40)
    field = _relax(field, right, hole, count, 4)
    rest = (right - count * field + _beside(field)) * hole
    coarse_hole = (_pairs(hole).mean(axis=(1, 3)) > 0.5).astype(np.float32)
    coarse_loose = (_pairs(loose).mean(axis=(1, 3)) > 0.5).astype(np.float32)
    coarse_right = _pairs(rest).sum(axis=(1, 3))
    coarse = _cycle(np.zeros_like(coarse_right), coarse_right, coarse_hole, coarse_loose)
    up = coarse.repeat(2, axis=0).repeat(2, axis=1)[: hole.shape[0], : hole.shape[1]]
    up = ndimage.uniform_filter(up, size=(3, 3, 1), mode="constant")
    return _relax(field + up * hole, right, hole, count, 4)


def solve(right: Floats, hole: BoolArray, cycles: int = 3, *, loose: BoolArray | None = None) -> Floats:
    """Find u (H, W, C), 0 outside ``hole``, with 4 u - sum of its four neighbours = ``right`` (H, W, C) inside.

    Neighbours outside the hole that are ``loose`` (H, W), and places beyond the border, have no effect.
    """
    out = np.zeros_like(right)
    if not hole.any():
        return out
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    cut = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    around = np.pad(np.zeros(hole.shape, dtype=bool) if loose is None else loose, 1, constant_values=True)
    # one more pixel on every side, so that the rim of the hole has all its neighbours
    wide = (slice(rows[0], rows[-1] + 3), slice(columns[0], columns[-1] + 3))
    outside = around[wide][:, :, None].astype(np.float32)
    inside = np.pad(hole[cut], 1)[:, :, None].astype(np.float32)
    padded = np.pad(right[cut], ((1, 1), (1, 1), (0, 0))) * inside
    field = np.zeros_like(padded)
    for _ in range(cycles):
        field = _cycle(field, padded, inside, outside)
    out[cut] = field[1:-1, 1:-1]
    return out


def membrane(values: Floats, hole: BoolArray, *, loose: BoolArray | None = None) -> Floats:
    """``values`` (H, W, C) with the hole filled by the smoothest surface through the rim that is not ``loose``."""
    apart = np.zeros(hole.shape, dtype=bool) if loose is None else loose & ~hole
    rim = ndimage.binary_dilation(hole) & ~hole & ~apart
    if not rim.any():
        return values
    level = values[rim].mean(axis=0)
    outside = np.where((hole | apart)[:, :, None], 0, values - level).astype(np.float32)
    inside = solve(_beside(outside), hole, 4, loose=apart)
    return np.where(hole[:, :, None], level + inside, values).astype(np.float32)


def clone(image: Floats, copied: Floats, hole: BoolArray) -> Floats:
    """``image`` (H, W, C) with the details of ``copied`` inside the hole and its own brightness at the rim."""
    outside = np.where(hole[:, :, None], 0, image - copied).astype(np.float32)
    return np.where(hole[:, :, None], copied + solve(_beside(outside), hole, 4), image).astype(np.float32)
