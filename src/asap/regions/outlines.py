"""Masks from keypoints without a segmentation network. The width of each part follows from its own lengths.

The proportions are ours, measured on the photographs of the tests. ``refine`` then fits the mask to the image.
"""

from typing import Final

import numpy as np
from PIL import Image

from asap.core.records import BoolArray, ByteArray, FloatArray
from asap.regions.geometry import capsule, chain, hull, polygon, resized
from asap.regions.refine import fit

__all__ = ["face_mask", "hand_length", "hand_mask", "hand_outline"]

FINGER_CHAINS: Final = tuple(tuple(range(1 + 4 * finger, 5 + 4 * finger)) for finger in range(5))
"""Points of each finger, from the palm to the tip, thumb first."""
PALM: Final = (0, 1, 5, 9, 13, 17)
THUMB_RADII: Final = (0.15, 0.125, 0.105, 0.085)
FINGER_RADII: Final = (0.11, 0.10, 0.092, 0.08)
"""Half widths at the four points of a finger, as shares of the length of the hand from wrist to middle knuckle."""
LITTLE: Final = 0.85
"""Factor on the radii for the little finger."""
WRIST_RADIUS: Final = 0.26
ROOM: Final = 0.7
"""Margin of a window, in lengths of the hand."""
WORK_LENGTH: Final = 90
"""Length of a hand in pixels in the window that is fitted; masks of larger hands are scaled back."""
CORE: Final = 0.45
"""Share of every radius within which pixels stay inside, whatever their colour."""
REACH: Final = 0.07
"""Distance that a fitted edge may move, in lengths of the hand."""


def hand_length(points: FloatArray) -> float:
    """Distance from wrist to middle knuckle in pixels without foreshortening: the longest that the points allow."""
    across = float(np.linalg.norm(points[5] - points[17]))
    along = float(np.linalg.norm(points[[5, 9, 13, 17]] - points[0], axis=1).max())
    middle = float(np.linalg.norm(np.diff(points[[9, 10, 11, 12]], axis=0), axis=1).sum())
    return max(along, 1.45 * across, 1.05 * middle)


def hand_outline(shape: tuple[int, int], points: FloatArray, grow: float = 1.0) -> BoolArray:
    """(H, W) outline of a hand from (21, 2) points: fingers as tapered capsules, the palm as a rounded hull.

    ``grow`` multiplies every radius.
    """
    mask = np.zeros(shape, np.bool_)
    length = max(hand_length(points), 1.0) * grow
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


def hand_mask(image: ByteArray, points: FloatArray) -> BoolArray:
    """(H, W) the hand in (H, W, 3) ``image`` from its (21, 2) points: the outline, fitted to the colours of the image.

    The arm has the colour of the hand, so pixels far behind the wrist are excluded.
    """
    height, width = image.shape[:2]
    length = max(hand_length(points), 1.0)
    low = np.clip(np.floor(points.min(axis=0) - ROOM * length), 0, (width - 1, height - 1)).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) + ROOM * length), low + 1, (width, height)).astype(int)
    scale = min(1.0, WORK_LENGTH / length)
    size = np.maximum(1, np.round((high - low) * scale)).astype(int).tolist()
    window = Image.fromarray(image[low[1] : high[1], low[0] : high[0]]).resize(size, Image.Resampling.BOX)
    small = _fitted(np.asarray(window), ((points - low) * scale).astype(np.float32))
    mask = np.zeros((height, width), np.bool_)
    mask[low[1] : high[1], low[0] : high[0]] = resized(small, tuple((high - low).tolist()))
    return mask


def _fitted(window: ByteArray, points: FloatArray) -> BoolArray:
    """(h, w) the hand in a window around it."""
    shape, length = (window.shape[0], window.shape[1]), hand_length(points)
    ahead = (points[9] - points[0]) / max(float(np.linalg.norm(points[9] - points[0])), 1e-6)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32) + np.float32(0.5)
    along = (x - points[0, 0]) * ahead[0] + (y - points[0, 1]) * ahead[1]
    return fit(
        window,
        hand_outline(shape, points),
        hand_outline(shape, points, grow=CORE) & (along > 0),
        along > -WRIST_RADIUS * length,
        reach=REACH * length,
    )


def face_mask(shape: tuple[int, int], mesh: FloatArray) -> BoolArray:
    """(H, W) the face from (N, 2) points that reach from chin to forehead."""
    return polygon(shape, hull(mesh))
