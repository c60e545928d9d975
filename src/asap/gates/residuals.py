"""High-frequency residuals of unchanged pixels: traces of noise, blur, JPEG and autoencoders, without the anatomy.

An edit changes edges, so edges must not count. Only pixels count whose surroundings are equal on both sides after a
low-pass filter. There, the sides can differ in traces of processing only. The surroundings are wide, because the filter
leaves little of an outline that only one side has, and in narrow surroundings its flanks would count.

Legend: H and W pixels, P pixels of an area.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy import fft, ndimage

from asap.core.records import BoolArray, ByteArray, FloatArray

__all__ = ["NAMES", "Planes", "planes", "residual_features", "unchanged"]

LOW = 5
"""Side in pixels of the box filter that removes high frequencies."""
AROUND = 5
"""Side in pixels of the surroundings that must be equal."""
LIMITS = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Largest difference in grey levels of the filtered sides in unchanged pixels; the smallest limit with enough pixels is
used.
"""
FLAT = 24.0
"""Largest range in grey levels of 5x5 pixels of a smooth area."""
LEAST = 24
"""Smallest number of pixels that is evaluated."""
STEP = 1 / 12
"""Variance of rounding to whole grey levels; keeps logarithms finite in areas without texture."""
BLOCK = 8
"""Side in pixels of the blocks of JPEG, counted from the upper left corner of the image."""

NOTHING = 0.5
"""Grey levels below which a cosine coefficient counts as 0; rounding alone gives 0.29."""

Array = TypeVar("Array", FloatArray, BoolArray)

_AREAS = ("inside, smooth", "inside, textured", "outside, smooth", "outside, textured")
_OF_AREA = (
    "residual of brightness",
    "residual of blue",
    "residual of red",
    "heavy tails",
    "share without residual",
    "correlation down",
    "correlation across",
    "coarse over fine",
    "correlation of channels",
    "steps on the 8-pixel grid",
)
_BLOCKS = ("inside", "outside")
NAMES = tuple(f"{area}: {name}" for area in _AREAS for name in _OF_AREA) + tuple(
    f"{where}: empty waves of 8x8 blocks" for where in _BLOCKS
)
"""Names of the features, in order."""


@dataclass(frozen=True)
class Planes:
    """One side, filtered."""

    values: FloatArray
    """(H, W, 3) brightness, blue difference, red difference, in grey levels."""
    low: FloatArray
    """(H, W, 3) the same without high frequencies."""
    fine: FloatArray
    """(H, W, 3) residual of the smallest scale."""
    coarse: FloatArray
    """(H, W) residual of brightness at twice the scale."""
    red_green: FloatArray
    """(H, W, 2) finest residual of the red and the green channel."""
    spread: FloatArray
    """(H, W) lightest minus darkest of 5x5 pixels of brightness."""


def planes(image: ByteArray) -> Planes:
    """Filter an (H, W, 3) uint8 image.

    The residual is that of Immerkaer 1996 (Fast Noise Variance Estimation): second differences along both axes, which
    are 0 on straight edges along either axis and on smooth shading, over 6, so that white noise keeps its standard
    deviation.
    """
    pixels = image.astype(np.float32)
    red, green, blue = pixels[:, :, 0], pixels[:, :, 1], pixels[:, :, 2]
    bright = 0.299 * red + 0.587 * green + 0.114 * blue
    values = np.stack([bright, 0.564 * (blue - bright), 0.713 * (red - bright)], axis=2)
    return Planes(
        values=values,
        low=np.asarray(ndimage.uniform_filter(values, size=(LOW, LOW, 1), mode="reflect"), dtype=np.float32),
        fine=_residual(values, (1, -2, 1)),
        coarse=_residual(bright, (1, 0, -2, 0, 1)),
        red_green=_residual(pixels[:, :, :2], (1, -2, 1)),
        spread=np.asarray(ndimage.maximum_filter(bright, LOW) - ndimage.minimum_filter(bright, LOW), dtype=np.float32),
    )


def _residual(values: FloatArray, weights: tuple[int, ...]) -> FloatArray:
    down = ndimage.correlate1d(values, weights, axis=0, mode="reflect")
    return np.asarray(ndimage.correlate1d(down, weights, axis=1, mode="reflect") / 6, dtype=np.float32)


def unchanged(gap: FloatArray, area: BoolArray) -> BoolArray:
    """Pixels of ``area`` that count as unchanged: those with the smallest ``gap`` (H, W) in grey levels.

    If enough pixels are bit-identical, only these are used, because the others changed with the anatomy, if only
    faintly. If the whole side was processed, none are identical, and a wider limit is used.
    """
    for limit in LIMITS:
        found = area & (gap <= limit)
        if int(found.sum()) >= LEAST:
            return np.asarray(found, dtype=bool)
    return np.zeros_like(area)


def surroundings(one: Planes, two: Planes) -> FloatArray:
    """(H, W) largest difference of the low frequencies of the sides around each pixel, in grey levels."""
    gap = np.abs(one.low - two.low).max(axis=2)
    return np.asarray(ndimage.maximum_filter(gap, AROUND), dtype=np.float32)


def residual_features(
    one: Planes, two: Planes, inside: BoolArray, outside: BoolArray, corner: tuple[int, int] = (0, 0)
) -> tuple[FloatArray, FloatArray]:
    """Features ``NAMES`` of either side; 0 on both if an area has too few pixels.

    Args:
        one: a side.
        two: the other.
        inside: (H, W) pixels of the region.
        outside: (H, W) pixels that are certainly outside it.
        corner: row and column of the window in the whole image, for the grid of blocks.
    """
    gap = surroundings(one, two)
    smooth = np.maximum(one.spread, two.spread) <= FLAT
    areas = [unchanged(gap, where & kind) for where in (inside, outside) for kind in (smooth, ~smooth)]
    wholes = [where & (gap <= LIMITS[-1]) for where in (inside, outside)]
    first, second = (
        np.concatenate([*(_of_area(side, area, corner) for area in areas), _blocks(side, wholes, corner)])
        for side in (one, two)
    )
    return first, second


def _of_area(side: Planes, area: BoolArray, corner: tuple[int, int]) -> FloatArray:
    """The ten features of one area."""
    if int(area.sum()) < LEAST:
        return np.zeros(len(_OF_AREA), dtype=np.float32)
    fine, coarse, pair = side.fine[area], side.coarse[area], side.red_green[area]
    power = float((fine[:, 0] ** 2).mean())
    size = np.abs(fine).mean(axis=0)
    both = float((pair[:, 0] * pair[:, 1]).mean())
    alone = float(np.sqrt((pair[:, 0] ** 2).mean() * (pair[:, 1] ** 2).mean()))
    return np.array(
        [
            *np.log(size + 0.1),
            np.log((power + STEP) / (size[0] + 0.1) ** 2),
            (np.abs(fine[:, 0]) < 1e-3).mean(),
            _neighbours(side.fine[:, :, 0], area, 0),
            _neighbours(side.fine[:, :, 0], area, 1),
            np.log(((coarse**2).mean() + STEP) / (power + STEP)),
            both / (alone + STEP),
            _grid(side.values[:, :, 0], area, corner),
        ],
        dtype=np.float32,
    )


def _along(values: Array, axis: int) -> tuple[Array, Array]:
    """Each value and the next one along ``axis``."""
    return (values[:-1], values[1:]) if axis == 0 else (values[:, :-1], values[:, 1:])


def _neighbours(values: FloatArray, area: BoolArray, axis: int) -> float:
    """Correlation of ``values`` with the next pixel along ``axis``, within the area."""
    one, two = _along(area, axis)
    both = one & two
    if int(both.sum()) < LEAST:
        return 0.0
    first, second = (part[both] for part in _along(values, axis))
    return float((first * second).mean() / (0.5 * (first**2 + second**2).mean() + STEP))


def _grid(bright: FloatArray, area: BoolArray, corner: tuple[int, int]) -> float:
    """Logarithm of the ratio of steps across the borders of JPEG blocks to steps elsewhere."""
    on, off = [], []
    for axis in (0, 1):
        one, two = _along(area, axis)
        border = (np.arange(1, bright.shape[axis]) + corner[axis]) % BLOCK == 0
        line = border[:, None] if axis == 0 else border[None, :]
        steps = np.abs(np.diff(bright, axis=axis))
        on.append(steps[one & two & line])
        off.append(steps[one & two & ~line])
    borders, others = np.concatenate(on), np.concatenate(off)
    if min(len(borders), len(others)) < LEAST:
        return 0.0
    return float(np.log(borders.mean() + 0.1) - np.log(others.mean() + 0.1))


def _blocks(side: Planes, areas: list[BoolArray], corner: tuple[int, int]) -> FloatArray:
    """For each area, the share of cosine coefficients of its complete 8x8 blocks that are nearly 0."""
    bright = _cut(side.values[:, :, 0], corner)
    shares = []
    for area in areas:
        whole = bright[_cut(area, corner).all(axis=(2, 3))]
        waves = np.asarray(fft.dctn(whole, axes=(1, 2), norm="ortho")).reshape(-1, BLOCK * BLOCK)[:, 1:]
        shares.append(float((np.abs(waves) < NOTHING).mean()) if len(waves) else 0.0)
    return np.array(shares, dtype=np.float32)


def _cut(values: Array, corner: tuple[int, int]) -> Array:
    """(R, C, 8, 8) the complete blocks of JPEG in ``values`` (H, W)."""
    top, left = (-start % BLOCK for start in corner)
    rows, columns = ((size - start) // BLOCK for size, start in zip(values.shape, (top, left), strict=True))
    part = values[top : top + max(0, rows) * BLOCK, left : left + max(0, columns) * BLOCK]
    return part.reshape(max(0, rows), BLOCK, max(0, columns), BLOCK).transpose(0, 2, 1, 3)
