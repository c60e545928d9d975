"""From keypoints to masks without a segmentation network: how wide each part is, taken from its own lengths.

The proportions are ours, measured on the photographs of the tests; ``refine`` then fits the mask to the picture.
"""

from typing import Final

import numpy as np

from asap.core.records import BoolArray, FloatArray
from asap.regions.shapes import capsule, chain, hull, polygon

__all__ = ["hand_length", "hand_outline"]

FINGER_CHAINS: Final = tuple(tuple(range(1 + 4 * finger, 5 + 4 * finger)) for finger in range(5))
"""Points of each finger, from the palm to the tip, thumb first."""
PALM: Final = (0, 1, 5, 9, 13, 17)
THUMB_RADII: Final = (0.15, 0.125, 0.105, 0.085)
FINGER_RADII: Final = (0.11, 0.10, 0.092, 0.08)
"""Half widths at a finger's four points, as shares of the hand's length from wrist to middle knuckle."""
LITTLE: Final = 0.85
"""The little finger against the others."""
WRIST_RADIUS: Final = 0.26


def hand_length(points: FloatArray) -> float:
    """Wrist to middle knuckle in pixels as it would be seen straight on: the longest that the points allow."""
    across = float(np.linalg.norm(points[5] - points[17]))
    along = float(np.linalg.norm(points[[5, 9, 13, 17]] - points[0], axis=1).max())
    middle = float(np.linalg.norm(np.diff(points[[9, 10, 11, 12]], axis=0), axis=1).sum())
    return max(along, 1.45 * across, 1.05 * middle)


def hand_outline(shape: tuple[int, int], points: FloatArray, grow: float = 1.0) -> BoolArray:
    """(H, W) the hand from (21, 2) points: fingers as tapered capsules, the palm as a hull with rounded corners.

    ``grow`` multiplies every radius.
    """
    mask = np.zeros(shape, np.bool_)
    length = hand_length(points) * grow
    for finger, joints in enumerate(FINGER_CHAINS):
        shares = THUMB_RADII if finger == 0 else FINGER_RADII
        factor = length * (LITTLE if finger == 4 else 1.0)
        chain(mask, points[list(joints)], [share * factor for share in shares])
    palm = hull(points[list(PALM)])
    mask |= polygon(shape, palm)
    for a, b in zip(palm, np.roll(palm, -1, axis=0), strict=True):
        capsule(mask, a, b, FINGER_RADII[0] * length, FINGER_RADII[0] * length)
    knuckle = points[9] + (points[0] - points[9]) * 0.8
    capsule(mask, points[0], knuckle, WRIST_RADIUS * length, WRIST_RADIUS * length)
    return mask
