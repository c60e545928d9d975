"""Fit a rough mask to the image by the colours inside and outside, with preserved edges.

The method resembles GrabCut (Rother et al. 2004), with colour histograms instead of mixtures and a guided filter (He et
al. 2010) instead of a graph cut. If the two sides have similar colours, the rough mask is kept.
"""

from typing import Final

import numpy as np
from scipy import ndimage
from scipy.special import expit

from asap.core.records import BoolArray, ByteArray, FloatArray

__all__ = ["fit"]

BINS: Final = 12
"""Histogram bins along each colour axis."""
ROUNDS: Final = 2
PULL: Final = 1.5
"""Log odds that the rough mask adds at ``reach`` inside its edge, and subtracts at ``reach`` outside."""
SMOOTH: Final = 3e-4
"""Variance of brightness below which the guided filter smooths."""
LIKENESS: Final = 0.7
"""Smallest intersection over union of the fitted and the rough mask; below it the fit is discarded."""
APART: Final = 0.75
"""Smallest share of the pixels of either side that the colours of that side must explain."""


def fit(image: ByteArray, rough: BoolArray, sure: BoolArray, allowed: BoolArray, reach: float) -> BoolArray:
    """Fit ``rough`` to (H, W, 3) ``image``, or return ``rough`` if colours do not separate inside from outside.

    Args:
        image: a window with some surroundings on every side.
        rough: (H, W) the mask to fit.
        sure: (H, W) pixels that stay inside.
        allowed: (H, W) pixels that may be inside; it excludes neighbouring parts of the same colour.
        reach: pixels over which the edge of the rough mask may move.
    """
    signed = ndimage.distance_transform_edt(rough) - ndimage.distance_transform_edt(~rough)
    prior = (PULL * np.clip(signed / reach, -4, 4)).astype(np.float32)
    outside = allowed & (signed < -1.5 * reach)
    if sure.sum() < 50 or outside.sum() < 50:
        return rough
    cells = _cells(image)
    weight = sure.astype(np.float32)
    inside = prior
    for _ in range(ROUNDS):
        evidence = _evidence(cells, weight, outside.astype(np.float32) * (1 - expit(inside)))
        inside = _guided(image, np.clip(evidence, -4, 4)) + prior
        weight = expit(inside) * (signed > -reach)
    claimed = (evidence[sure] > 0).mean(), (evidence[outside] < 0).mean()
    fitted = (allowed & (inside > 0) & (signed > -2.5 * reach)) | (sure & rough)
    fitted = _largest(ndimage.binary_opening(fitted, iterations=1) | (sure & rough), sure)
    union = (fitted | rough)[allowed].sum()
    if min(claimed) < APART or (fitted & rough)[allowed].sum() < LIKENESS * union:
        return rough
    return fitted


def _cells(image: ByteArray) -> FloatArray:
    """(H, W, 3) histogram bin of each colour: brightness and two opponent axes."""
    red, green, blue = np.moveaxis(image.astype(np.float32), 2, 0)
    light, warm, yellow = (red + green + blue) / 3, red - green, (red + green) / 2 - blue
    axes = np.stack([light / 256, np.clip(warm / 256 + 0.5, 0, 1), np.clip(yellow / 256 + 0.5, 0, 1)], axis=2)
    stretched = (axes - (0, 0.5, 0.5)) * (1, 2, 2) + (0, 0.5, 0.5)
    return np.clip(stretched * BINS, 0, BINS - 1e-3).astype(np.float32)


def _evidence(cells: FloatArray, inside: FloatArray, outside: FloatArray) -> FloatArray:
    """(H, W) log odds of inside by colour alone, from the weights of both sides."""
    index = cells.astype(np.int32)
    flat = (index[..., 0] * BINS + index[..., 1]) * BINS + index[..., 2]
    tables = []
    for weight in (inside, outside):
        counts = np.bincount(flat.ravel(), weight.ravel(), minlength=BINS**3).reshape(BINS, BINS, BINS)
        spread = ndimage.gaussian_filter(counts, 0.7, mode="nearest")
        tables.append(np.log(spread / max(spread.sum(), 1e-6) + 1e-4))
    odds: FloatArray = ndimage.map_coordinates(
        (tables[0] - tables[1]).astype(np.float32), np.moveaxis(cells - 0.5, 2, 0), order=1, mode="nearest"
    )
    return odds


def _guided(image: ByteArray, values: FloatArray, radius: int = 4) -> FloatArray:
    """``values`` smoothed, except across edges of the brightness of the image."""
    guide = image.astype(np.float32).mean(axis=2) / np.float32(255)

    def mean(field: FloatArray) -> FloatArray:
        smooth: FloatArray = ndimage.uniform_filter(field, 2 * radius + 1, mode="nearest")
        return smooth

    mean_guide, mean_values = mean(guide), mean(values)
    slope = (mean(guide * values) - mean_guide * mean_values) / (mean(guide * guide) - mean_guide**2 + SMOOTH)
    smoothed: FloatArray = mean(slope) * guide + mean(mean_values - slope * mean_guide)
    return smoothed


def _largest(mask: BoolArray, sure: BoolArray) -> BoolArray:
    """The connected components of ``mask`` that contain a sure pixel."""
    pieces, _ = ndimage.label(mask)
    kept = np.unique(pieces[sure & mask])
    return np.asarray(np.isin(pieces, kept[kept > 0]), np.bool_)
