"""The edge band: a seam along the mask's rim, or pixels just inside it that differ in kind from those just outside.

Only those places of the rim count where the two sides are nearly equal just inside, so that an edge of the anatomy that
happens to lie along the rim does not. A seam higher than that limit shows in the gate ``edge_ssim`` instead.

Nearly equal is not enough: an outline or a shade that an edit adds may be faint, and is anatomy all the same. So the
difference between the sides, without fine detail, must also be that of most of the rim, to a grey level: a seam or a
tint runs along it, an outline crosses it.
"""

import numpy as np
from scipy import ndimage

from asap.core.records import BoolArray, FloatArray
from asap.gates.residuals import Planes

__all__ = ["NAMES", "edge_band_features"]

NEAR = 16.0
"""Grey levels that the sides may differ by just inside the rim."""
LIKE = 1.0
"""Grey levels by which the low-pass difference of the sides may deviate from its median along the rim."""
WIDE = 5
"""Side in pixels of the box filter of that difference."""
LEAST = 16
"""Fewer places of the rim than these say nothing."""
STEPS = (1.0, 2.0, 4.0, 8.0)
"""Grey levels of steps that are counted."""

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
"""Names of the features, in order. A step is what a place of the rim has beyond its neighbours on either side."""


def edge_band_features(one: Planes, two: Planes, inside: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Features ``NAMES`` of either side; 0 on both where too little of the rim can be compared.

    Args:
        one: a side.
        two: the other.
        inside: (H, W) the mask.
    """
    near = np.asarray(np.abs(one.values - two.values).max(axis=2) <= NEAR) & _usual(one, two, inside)
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

    Both sides of the rim are filtered apart, so that a step along it does not blur into either.
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
        out |= area & (ndimage.maximum_filter(np.where(area, away, 0), 3) <= LIKE)
    return out


def _places(inside: BoolArray, near: BoolArray, axis: int) -> BoolArray:
    """Between which neighbours along ``axis`` the rim runs; both have a further neighbour and are nearly equal."""
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
