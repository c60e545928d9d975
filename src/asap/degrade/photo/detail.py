"""Fine detail of images: measure its strength, and match the strength of an edited area to that of its sources.

A warp changes the fine detail of what it moves: enlarging weakens it, shrinking strengthens it, and mixing two layers
weakens it. A side with weaker or stronger detail everywhere would be recognizable, so the edited area is matched to its
source. Brightness and colour are treated separately, because JPEG stores colour at a lower resolution.
"""

import numpy as np
from scipy import ndimage

from asap.core.records import BoolArray, Floats

REACH = 3.0
"""Standard deviation in pixels of the Gaussian over which strength is averaged."""
_BAND = 0.8
"""Standard deviation in pixels of the Gaussian that separates fine detail."""
_FLOOR = 0.05
"""Grey levels added to both strengths, so that plain areas stay unchanged."""
_LIMITS = (0.5, 2.0)
"""Smallest and largest factor per round. Beyond them, an image looks painted or harsh."""
_ROUNDS = 2
"""A factor on the detail is not exactly a factor on the strength: the second round corrects the rest."""
_SAME = (4.0, 8.0)
"""Grey levels of low-pass difference: up to the first the sides count as equal, from the second as different."""
_BOX = 5
_PLANES = np.array([[0.299, 0.587, 0.114], [-0.299, -0.587, 0.886], [0.701, -0.587, -0.114]], dtype=np.float32)
"""Brightness, blue minus brightness, red minus brightness."""
_COLOURS = np.linalg.inv(_PLANES).astype(np.float32)

_MAD = 1.4826
"""Factor from the median absolute deviation to the standard deviation of a normal distribution."""


def strength(image: Floats) -> Floats:
    """(h, w, 3) mean size of the fine detail around each pixel of (h, w, 3): of brightness, blue and red.

    Second differences along both axes suppress straight edges (Immerkaer 1996). Corners count at most three times the
    mean.
    """
    planes = image @ _PLANES.T
    down = ndimage.correlate1d(planes, (1, -2, 1), axis=0, mode="reflect")
    size = np.abs(ndimage.correlate1d(down, (1, -2, 1), axis=1, mode="reflect")) / 6
    return _spread(np.minimum(size, 3 * _spread(size)))


def _spread(values: Floats) -> Floats:
    return np.asarray(ndimage.gaussian_filter(values, (REACH, REACH, 0), truncate=2.5), dtype=np.float32)


def similarity(one: Floats, two: Floats) -> Floats:
    """(h, w, 1) in [0, 1], how similar the two images (h, w, 3) are there apart from fine detail."""
    gap = ndimage.uniform_filter((one - two) @ _PLANES.T, (_BOX, _BOX, 0))
    most = ndimage.maximum_filter(np.abs(gap).max(axis=2), 3)
    return np.asarray(np.clip((_SAME[1] - most) / (_SAME[1] - _SAME[0]), 0, 1)[:, :, None], dtype=np.float32)


def match_strength(image: Floats, wanted: Floats, share: Floats) -> Floats:
    """``image`` (h, w, 3) with fine detail as strong as ``wanted`` (h, w, 3), to the extent of ``share`` (h, w)."""
    for _ in range(_ROUNDS):
        gain = np.clip((wanted + _FLOOR) / (strength(image) + _FLOOR), *_LIMITS)
        band = (image - ndimage.gaussian_filter(image, (_BAND, _BAND, 0))) @ _PLANES.T
        image = image + (share[:, :, None] * (gain - 1) * band) @ _COLOURS.T
    return np.asarray(image, dtype=np.float32)


def grain(image: Floats, sure: BoolArray, count: BoolArray, rng: np.random.Generator) -> Floats:
    """(n, 3) noise for the n True pixels of ``count`` (H, W), as strong and as fine as that of the ``sure`` pixels.

    The median ignores edges and pores. The channels share most of the noise, as in the light on skin.
    """
    fine = (image - ndimage.gaussian_filter(image, (1.5, 1.5, 0)))[sure]
    if len(fine) < 50:
        return np.zeros((int(count.sum()), 3), dtype=np.float32)
    strength = _MAD * np.median(np.abs(fine - np.median(fine, axis=0)), axis=0)
    common = rng.standard_normal((*count.shape, 1)) * 0.9
    noise = common + 0.45 * rng.standard_normal((*count.shape, 3))
    noise = ndimage.gaussian_filter(noise, (0.6, 0.6, 0))
    high = noise - ndimage.gaussian_filter(noise, (1.5, 1.5, 0))
    return np.asarray(noise[count] * strength / max(float(high.std()), 1e-6), dtype=np.float32)
