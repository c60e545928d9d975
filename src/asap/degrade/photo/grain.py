"""Noise like the photograph's own, for places that were painted smooth."""

import numpy as np
from scipy import ndimage

from asap.degrade.photo.arrays import Bools, Floats

_MAD = 1.4826
"""From the median of absolute deviations to the standard deviation of a normal law."""


def grain(image: Floats, sure: Bools, count: Bools, rng: np.random.Generator) -> Floats:
    """(n, 3) noise for the n True pixels of ``count`` (H, W), as strong and as fine as that of the ``sure`` pixels.

    The median keeps edges and pores out of the measure; channels share most of it, as skin's light does.
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
