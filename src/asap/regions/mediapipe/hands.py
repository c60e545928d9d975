"""Hands from palms: 21 points, the side of the hand, and the probability that there is one.

The windows follow the graphs in ``mediapipe/modules/hand_landmark`` of google-ai-edge/mediapipe (Apache-2.0): one from
the wrist and the middle knuckle of the palm, then a second pass in a window around the points of the first.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from asap.core.records import FloatArray
from asap.regions.mediapipe.crops import Crop, Pyramid
from asap.regions.mediapipe.detection import Detection
from asap.regions.mediapipe.network import Network

__all__ = ["SAME", "Hand", "from_palm", "hand_at", "second_pass"]

MODEL: Final = "hand_landmark_full"
SIDE: Final = 224
WRIST, MIDDLE = 0, 2
"""Points of a detected palm: wrist, first joint of the middle finger."""
STABLE_POINTS: Final = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
"""Points around which the second window is placed: those that move least when fingers bend."""
POINTS: Final = 21
PASSES: Final = (
    (0.0, 1.0, 0.0, 0.0), (0.35, 1.0, 0.0, 0.0), (-0.35, 1.0, 0.0, 0.0), (0.0, 0.8, 0.08, 0.08),
    (0.0, 0.8, -0.08, 0.08), (0.2, 0.75, 0.0, 0.0), (-0.2, 0.75, 0.0, 0.0),
)  # fmt: skip
"""Windows of the additional passes relative to the second one: rotation in radians, scale, shift as shares of its
size.
"""
MAX_SPREAD: Final = 0.05
"""Spread above which a point counts as a guess. Measured on photographs: points of clearly visible fingers differ by
less than 0.03 of the size of the hand; points that are hidden or jump to another hand differ by more than 0.06.
"""
DEEP, DEEP_WITHIN = (0, 1), 0.12
"""The root and the first joint of the thumb lie under flesh, so no pass can place them as accurately."""
SAME: Final = 0.35
"""Two hands are the same if the mean distance of their points is smaller than this share of their size."""


@dataclass(frozen=True, kw_only=True)
class Hand:
    """A hand as the model returns it."""

    points: FloatArray
    """(21, 2) pixels, in the order of COCO-WholeBody: root, then thumb to little finger from the palm to the tip."""
    presence: float
    """Probability that there is a hand."""
    right: float
    """Probability that it is the person's own right hand."""
    spread: FloatArray = field(default_factory=lambda: np.zeros(POINTS, np.float32))
    """(21,) mean distance of the passes from their median, over the size of the hand."""

    @property
    def sure(self) -> FloatArray:
        """(21,) confidence of each point: that of the hand if the passes agree, else 0."""
        within = np.full(POINTS, MAX_SPREAD)
        within[list(DEEP)] = DEEP_WITHIN
        return np.where(self.spread <= within, self.presence, 0.0).astype(np.float32)

    @property
    def anchor(self) -> FloatArray:
        """All points."""
        return self.points

    @property
    def size(self) -> float:
        """Longer side of the box of the points, in pixels."""
        return float(np.ptp(self.points, axis=0).max())


def from_palm(palm: Detection) -> Crop:
    """The window for a detected palm: the middle finger points up, with margin for the fingers."""
    along = palm.points[MIDDLE] - palm.points[WRIST]
    angle = math.atan2(float(along[1]), float(along[0])) + math.pi / 2
    width, height = (palm.box[2:] - palm.box[:2]).tolist()
    x, y = ((palm.box[2:] + palm.box[:2]) / 2).tolist()
    shift = 0.5 * height
    return Crop(x + shift * math.sin(angle), y - shift * math.cos(angle), 2.6 * max(width, height), angle)


def hand_at(network: Network, image: Pyramid, crop: Crop) -> Hand:
    """The result of the model for ``crop``. It always has points; ``presence`` tells whether there is a hand.

    The side is that of the person's own hand in an image that is not mirrored, as the photographs of the tests show.
    Older guides of MediaPipe say the opposite, because their labels are for a mirrored selfie.
    """
    points, presence, right, _ = network(image.view(crop, SIDE))
    pixels = crop.to_image(points.reshape(21, 3)[:, :2] / np.float32(SIDE))
    return Hand(points=pixels, presence=float(presence[0, 0]), right=float(right[0, 0]))


def second_pass(network: Network, image: Pyramid, hand: Hand) -> Hand:
    """The same hand as the median of several passes in windows around the points of the first.

    If two hands overlap, a single pass may give one hand a finger of the other; most passes do not.
    """
    around = _around(hand)
    crops = (
        Crop(around.x + dx * around.size, around.y + dy * around.size, around.size * scale, around.angle + turn)
        for turn, scale, dx, dy in PASSES
    )
    passes = [hand_at(network, image, crop) for crop in crops]
    each = np.stack([one.points for one in passes])
    middle = Hand(
        points=np.median(each, axis=0).astype(np.float32),
        presence=float(np.median([one.presence for one in passes])),
        right=float(np.median([one.right for one in passes])),
    )
    gaps = np.linalg.norm(each - middle.points, axis=2).mean(axis=0) / max(middle.size, 1.0)
    return replace(middle, spread=gaps.astype(np.float32))


def _around(hand: Hand) -> Crop:
    """The window of a second pass: upright along the palm, around the points that move least."""
    points = hand.points
    knuckles = (points[5] + points[13]) / 2 / 2 + points[9] / 2
    along = knuckles - points[0]
    angle = math.atan2(float(along[1]), float(along[0])) + math.pi / 2
    upright = Crop(0.0, 0.0, 1.0, angle)
    steady = upright.from_image(points[list(STABLE_POINTS)]) - 0.5
    low, high = steady.min(axis=0), steady.max(axis=0)
    centre = (low + high) / 2 + np.float32(0.5)
    centre[1] -= 0.1 * (high[1] - low[1])
    x, y = upright.to_image(centre).tolist()
    return Crop(x, y, 2.0 * float((high - low).max()), angle)
