"""Leaks: features that distinguish the rejected side from the chosen one without the anatomy.

There are four views, each blind to the anatomy in its own way. Each gives features of either side. Their difference,
rejected minus chosen, is the input of a classifier (``permutation_test``). Exchanging the sides changes the sign and
nothing else.

- ``background``: pixels outside the mask; - ``edge band``: the rim of the mask (``edge_band``); - ``high frequencies``:
residuals of pixels with equal content on both sides, inside and outside (``residuals``); - ``file``: the encoded bytes
(``file_features``).

Legend: H and W pixels, F features of a view.
"""

from typing import Any, Final

import numpy as np
from scipy import ndimage

from asap.core.records import BoolArray, ByteArray, FloatArray
from asap.gates import edge_band, file_features, residuals
from asap.gates.masks import bounding_window, check_images, difference

__all__ = ["FEATURES", "VIEWS", "image_differences", "outside_difference"]

GRID = 4
"""Cells along each side of the grid over which the background is averaged."""
CLEAR = 2
"""Pixels on either side of the rim that belong to the edge band: the reach of the residuals."""
MARGIN = 16
"""Pixels around the box of the mask that are evaluated if the sides are equal outside; two blocks of JPEG."""

_CELLS = tuple(f"mean of cell {row + 1},{column + 1}" for row in range(GRID) for column in range(GRID))
_BACKGROUND = (
    *("mean red", "mean green", "mean blue", "contrast", "share of odd values", "share of black", "share of white"),
    *("steps down", "steps across", "top row", "bottom row", "left column", "right column"),
    *_CELLS,
)
FEATURES: Final[dict[str, tuple[str, ...]]] = {
    "background": _BACKGROUND,
    "edge band": edge_band.NAMES,
    "high frequencies": residuals.NAMES,
    "file": file_features.NAMES,
}
"""Names of the features of each view, in order."""
VIEWS: Final = tuple(FEATURES)


def outside_difference(chosen: ByteArray, rejected: ByteArray, mask: ByteArray) -> int:
    """Largest difference of a channel outside ``mask`` (H, W), 0 to 255 grey levels.

    Raises:
        InputError: shapes or types do not fit.
    """
    check_images(chosen, rejected)
    return int(difference(chosen, rejected)[mask == 0].max(initial=0))


def image_differences(chosen: ByteArray, rejected: ByteArray, mask: ByteArray) -> dict[str, FloatArray]:
    """Rejected minus chosen for every view but ``file``: (F,) each, 0 if a feature could not be measured.

    If the sides are equal outside the mask, only its surroundings are evaluated; all other differences would be 0.

    Raises:
        InputError: shapes or types do not fit.
    """
    inside = mask > 0
    equal = outside_difference(chosen, rejected, mask) == 0
    out = {name: np.zeros(len(FEATURES[name]), dtype=np.float32) for name in VIEWS if name != "file"}
    if equal and not inside.any():
        return out
    if not equal:
        out["background"] = _background(rejected, ~inside) - _background(chosen, ~inside)
    window = bounding_window(inside, MARGIN) if equal else (slice(0, mask.shape[0]), slice(0, mask.shape[1]))
    one, two = residuals.planes(chosen[window]), residuals.planes(rejected[window])
    region = inside[window]
    deep = ndimage.minimum_filter(region, 2 * CLEAR + 1)
    beyond = np.zeros_like(region) if equal else ~ndimage.maximum_filter(region, 2 * CLEAR + 1)
    corner = window[0].start, window[1].start
    for name, (first, second) in (
        ("edge band", edge_band.edge_band_features(one, two, region)),
        ("high frequencies", residuals.residual_features(one, two, deep, beyond, corner)),
    ):
        out[name] = second - first
    return out


def _background(image: ByteArray, outside: BoolArray) -> FloatArray:
    """The features of the background of one side; 0 if there is no such pixel."""
    if not outside.any():
        return np.zeros(len(_BACKGROUND), dtype=np.float32)
    pixels = image[outside].astype(np.float32)
    bright = image.astype(np.float32).mean(axis=2)
    steps = [np.abs(np.diff(bright, axis=axis)) for axis in (0, 1)]
    both = [outside[1:] & outside[:-1], outside[:, 1:] & outside[:, :-1]]
    lines: list[tuple[Any, Any]] = [(0, slice(None)), (-1, slice(None)), (slice(None), 0), (slice(None), -1)]
    rows, columns = (np.array_split(np.arange(size), GRID) for size in outside.shape)
    cells: list[tuple[Any, Any]] = [(slice(r[0], r[-1] + 1), slice(c[0], c[-1] + 1)) for r in rows for c in columns]
    return np.array(
        [
            *pixels.mean(axis=0),
            pixels.std(),
            (image[outside] & 1).mean(),
            (pixels == 0).mean(),
            (pixels == 255).mean(),
            *(_mean(step, pair) for step, pair in zip(steps, both, strict=True)),
            *(_mean(bright[part], outside[part]) for part in (*lines, *cells)),
        ],
        dtype=np.float32,
    )


def _mean(values: FloatArray, where: BoolArray) -> float:
    return float(values[where].mean(dtype=np.float64)) if where.any() else 0.0
