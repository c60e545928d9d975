"""Features of the edge band: a seam along the rim of the mask, or pixels inside that differ in kind from those outside.

Only places of the rim count where the two sides are nearly equal just inside. An edge of the anatomy along the rim then
does not count. A seam higher than that limit shows in the gate ``edge_ssim`` instead.

Near equality is not sufficient, because an outline or a shade that an edit adds may be faint and still belong to the
anatomy. The low-pass difference between the sides must therefore also equal that of most of the rim, to one grey level:
a seam or a tint runs along the rim, an outline crosses it.
"""

import numpy as np
from scipy import ndimage

from asap.core.records import BoolArray, FloatArray
from asap.gates.residuals import Planes

__all__ = ["NAMES", "edge_band_features"]

MAX_SIDE_DIFFERENCE = 16.0
"""Largest difference in grey levels between the sides just inside the rim."""
MAX_DEVIATION = 1.0
"""Largest deviation, in grey levels, of the low-pass difference of the sides from its median along the rim."""
WIDE = 5
"""Side in pixels of the box filter of that difference."""
LEAST = 16
"""Smallest number of places of the rim that is evaluated."""
STEPS = (1.0, 2.0, 4.0, 8.0)
"""Heights of steps, in grey levels, that are counted."""

NAMES = (
    "step in brightness",
    "step in blue",
    "step in red",
    "signed step in brightness",
    "signed step in blue",
    "signed step in red",
    *(f"steps above {height:g}" for height in STEPS),
    "places without a step",
    "residual just inside",
    "residual inside over outside",
)
"""Names of the features, in order. A step is the change at a place of the rim minus that of its neighbours."""


def edge_band_features(one: Planes, two: Planes, inside: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Features ``NAMES`` of either side; 0 on both if too little of the rim can be compared.

    Args:
        one: a side.
        two: the other.
        inside: (H, W) the mask.
    """
    near = np.asarray(np.abs(one.values - two.values).max(axis=2) <= MAX_SIDE_DIFFERENCE) & _usual(one, two, inside)
    places = [_places(inside, near, axis) for axis in (0, 1)]
    if sum(int(found.sum()) for found in places) < LEAST:
        nothing = np.zeros(len(NAMES), dtype=np.float32)
        return nothing, nothing
    band = inside & ndimage.binary_dilation(~inside, iterations=2) & near
    beyond = ~inside & ndimage.binary_dilation(inside, iterations=2)
    first, second = (_of_side(side, inside, places, band, beyond) for side in (one, two))
    return first, second


def _usual(one: Planes, two: Planes, inside: BoolArray) -> BoolArray:
    """(H, W) where the low-pass difference of the sides is, around each pixel, that of most of the rim just inside.

    The two sides of the rim are filtered separately, so that a step along it does not blur into either.
    """
    out = np.zeros(inside.shape, dtype=bool)
    for area in (inside, ~inside):
        rim = area & ndimage.binary_dilation(~area, iterations=2)
        if not rim.any():
            continue
        gap = np.where(area[:, :, None], two.values - one.values, 0)
        weight = ndimage.uniform_filter(area.astype(np.float32), WIDE)[:, :, None]
        low = ndimage.uniform_filter(gap, (WIDE, WIDE, 1)) / np.maximum(weight, 1e-3)
        away = np.abs(low - np.median(low[rim], axis=0)).max(axis=2)
        out |= area & (ndimage.maximum_filter(np.where(area, away, 0), 3) <= MAX_DEVIATION)
    return out


def _places(inside: BoolArray, near: BoolArray, axis: int) -> BoolArray:
    """Where the rim runs between neighbours along ``axis`` that have further neighbours and nearly equal sides."""
    area, equal = (inside, near) if axis == 1 else (inside.T, near.T)
    rim = area[:, 1:] != area[:, :-1]
    rim[:, [0, -1]] = False
    return np.asarray(rim & equal[:, 1:] & equal[:, :-1])


def _of_side(
    side: Planes, inside: BoolArray, places: list[BoolArray], band: BoolArray, beyond: BoolArray
) -> FloatArray:
    heights, signed = [], []
    for axis, rim in enumerate(places):
        values = side.values if axis == 1 else side.values.transpose(1, 0, 2)
        inwards = np.where((inside if axis == 1 else inside.T)[:, 1:], 1.0, -1.0)[rim]
        change = np.diff(values, axis=1)
        here, before, after = (change[:, part][rim[:, 1:-1]] for part in (slice(1, -1), slice(0, -2), slice(2, None)))
        heights.append(np.abs(here) - (np.abs(before) + np.abs(after)) / 2)
        signed.append((here - (before + after) / 2) * inwards[:, None])
    height, sign = np.concatenate(heights), np.concatenate(signed)
    residual = np.abs(side.fine[:, :, 0])
    just_inside = float(np.log(residual[band].mean() + 0.1)) if band.any() else 0.0
    outside = float(np.log(residual[beyond].mean() + 0.1)) if band.any() and beyond.any() else 0.0
    return np.array(
        [
            *height.mean(axis=0),
            *sign.mean(axis=0),
            *((height[:, 0] > limit).mean() for limit in STEPS),
            (np.abs(sign[:, 0]) < 0.5).mean(),
            just_inside,
            just_inside - outside,
        ],
        dtype=np.float32,
    )
