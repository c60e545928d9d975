"""Fine detail: how strong it is, and how a painted image gets as much of it as its sources have.

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
"""Least and largest factor of a round: beyond, an image looks painted or harsh."""
_ROUNDS = 2
"""A factor on a band is not quite one on the strength: the second round takes what the first left."""
_SAME = (4.0, 8.0)
"""Grey levels of low-pass difference up to which, and from which not, both sides show the same."""
_BOX = 5
_PLANES = np.array([[0.299, 0.587, 0.114], [-0.299, -0.587, 0.886], [0.701, -0.587, -0.114]], dtype=np.float32)
"""Brightness, blue less brightness, red less brightness."""
_COLOURS = np.linalg.inv(_PLANES).astype(np.float32)


def strength(picture: Floats) -> Floats:
    """(h, w, 3) mean size of the fine detail around each pixel of (h, w, 3): of brightness, blue and red.

    Second differences down and across leave straight edges out (Immerkaer 1996); corners count thrice the mean at most.
    """
    planes = picture @ _PLANES.T
    down = ndimage.correlate1d(planes, (1, -2, 1), axis=0, mode="reflect")
    size = np.abs(ndimage.correlate1d(down, (1, -2, 1), axis=1, mode="reflect")) / 6
    return _spread(np.minimum(size, 3 * _spread(size)))


def _spread(values: Floats) -> Floats:
    return np.asarray(ndimage.gaussian_filter(values, (REACH, REACH, 0), truncate=2.5), dtype=np.float32)


def alike(one: Floats, two: Floats) -> Floats:
    """(h, w, 1) in [0, 1]: how far both images (h, w, 3) show the same there, but for fine detail."""
    gap = ndimage.uniform_filter((one - two) @ _PLANES.T, (_BOX, _BOX, 0))
    most = ndimage.maximum_filter(np.abs(gap).max(axis=2), 3)
    return np.asarray(np.clip((_SAME[1] - most) / (_SAME[1] - _SAME[0]), 0, 1)[:, :, None], dtype=np.float32)


def brought_to(picture: Floats, wanted: Floats, share: Floats) -> Floats:
    """``picture`` (h, w, 3) with fine detail as strong as ``wanted`` (h, w, 3), as far as ``share`` (h, w) says."""
    for _ in range(_ROUNDS):
        gain = np.clip((wanted + _FLOOR) / (strength(picture) + _FLOOR), *_LIMITS)
        band = (picture - ndimage.gaussian_filter(picture, (_BAND, _BAND, 0))) @ _PLANES.T
        picture = picture + (share[:, :, None] * (gain - 1) * band) @ _COLOURS.T
    return np.asarray(picture, dtype=np.float32)
