"""Fine detail: how strong it is, and how a painted picture gets as much of it as its sources have.

A warp changes the fine detail of what it moves: magnified it is weak, shrunken strong, and where two layers are mixed
it is weaker than either. A side that is finer or coarser all over gives itself away, so what was painted is brought to
the strength that its source has. Brightness and colour are treated apart, since JPEG keeps colour coarser.
"""

import numpy as np
from scipy import ndimage

from asap.degrade.photo.arrays import Floats

REACH = 3.0
"""Pixels (of a Gaussian) over which detail is averaged."""
_BAND = 0.8
"""Pixels (of a Gaussian) below which detail is fine."""
_FLOOR = 0.05
"""Grey levels added to both strengths, so that plain areas are left alone."""
_LIMITS = (0.5, 2.0)
"""Least and largest factor of a round: beyond, a picture looks painted or harsh."""
_ROUNDS = 2
"""A factor on a band is not quite one on the strength: the second round takes what the first left."""
_BRIGHT = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def strength(picture: Floats) -> Floats:
    """(h, w, 2) mean size of the fine detail around each pixel of (h, w, 3), of brightness and of colour.

    Second differences down and across leave straight edges out (Immerkaer 1996); corners count twice the mean at most.
    """
    bright = picture @ _BRIGHT
    colour = picture[:, :, ::2] - bright[:, :, None]
    sizes = [np.abs(_fine(bright)), np.sqrt((_fine(colour) ** 2).mean(axis=2))]
    return np.stack([_spread(np.minimum(size, 2 * _spread(size))) for size in sizes], axis=2)


def _fine(values: Floats) -> Floats:
    down = ndimage.correlate1d(values, (1, -2, 1), axis=0, mode="reflect")
    return np.asarray(ndimage.correlate1d(down, (1, -2, 1), axis=1, mode="reflect") / 6, dtype=np.float32)


def _spread(values: Floats) -> Floats:
    return np.asarray(ndimage.gaussian_filter(values, REACH, truncate=2.5), dtype=np.float32)


def brought_to(picture: Floats, wanted: Floats, share: Floats) -> Floats:
    """``picture`` (h, w, 3) with fine detail as strong as ``wanted`` (h, w, 2), as far as ``share`` (h, w) says."""
    for _ in range(_ROUNDS):
        gain = np.clip((wanted + _FLOOR) / (strength(picture) + _FLOOR), *_LIMITS)
        gain = 1 + share[:, :, None] * (gain - 1)
        band = picture - ndimage.gaussian_filter(picture, (_BAND, _BAND, 0))
        bright = (band @ _BRIGHT)[:, :, None]
        picture = picture + (gain[:, :, :1] - 1) * bright + (gain[:, :, 1:] - 1) * (band - bright)
    return np.asarray(picture, dtype=np.float32)
