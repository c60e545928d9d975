"""Palms to hands: 21 points, whose hand it is, and how sure the model is that there is one.

The windows follow the graphs in ``mediapipe/modules/hand_landmark`` of google-ai-edge/mediapipe (Apache-2.0): one from
the palm's wrist and middle knuckle, then a second look through a window laid around the points of the first.
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
STEADY: Final = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
"""Points that the second window is laid around: those that move least when fingers bend."""
POINTS: Final = 21
LOOKS: Final = (
    (0.0, 1.0, 0.0, 0.0), (0.35, 1.0, 0.0, 0.0), (-0.35, 1.0, 0.0, 0.0), (0.0, 0.8, 0.08, 0.08),
    (0.0, 0.8, -0.08, 0.08), (0.2, 0.75, 0.0, 0.0), (-0.2, 0.75, 0.0, 0.0),
)  # fmt: skip
"""Windows of the further looks beside the second: turned by radians, scaled, shifted by shares of its size."""
STEADY_WITHIN: Final = 0.05
"""Where looks differ by more, a point is a guess: measured on photographs, points of fingers in plain sight differ by
less than 0.03 of the hand's size, and those that jump to another hand or are hidden by more than 0.06."""
DEEP, DEEP_WITHIN = (0, 1), 0.12
"""The root and the thumb's first joint lie under flesh: no look can place them as well."""
SAME: Final = 0.35
"""Two hands whose points lie closer on the mean than this share of their size are one."""


@dataclass(frozen=True, kw_only=True)
class Hand:
    """A hand as the model sees it."""

    points: FloatArray
    """(21, 2) pixels, in the order of COCO-WholeBody: root, then thumb to little finger from the palm to the tip."""
    presence: float
    """In [0, 1], that there is a hand."""
    right: float
    """In [0, 1], that it is the person's own right hand."""
    spread: FloatArray = field(default_factory=lambda: np.zeros(POINTS, np.float32))
    """(21,) how far looks at the hand differ, the mean distance from their median over the hand's size."""

    @property
    def sure(self) -> FloatArray:
        """(21,) confidence of each point: the hand's own where looks agree, 0 where they do not."""
        within = np.full(POINTS, STEADY_WITHIN)
        within[list(DEEP)] = DEEP_WITHIN
        return np.where(self.spread <= within, self.presence, 0.0).astype(np.float32)

    @property
    def anchor(self) -> FloatArray:
        """All points."""
        return self.points

    @property
    def size(self) -> float:
        """Longer side of the points' box, pixels."""
        return float(np.ptp(self.points, axis=0).max())


def from_palm(palm: Detection) -> Crop:
    """The window for a detected palm: the middle finger points up, room for the fingers."""
    along = palm.points[MIDDLE] - palm.points[WRIST]
    angle = math.atan2(float(along[1]), float(along[0])) + math.pi / 2
    width, height = (palm.box[2:] - palm.box[:2]).tolist()
    x, y = ((palm.box[2:] + palm.box[:2]) / 2).tolist()
    shift = 0.5 * height
    return Crop(x + shift * math.sin(angle), y - shift * math.cos(angle), 2.6 * max(width, height), angle)


def hand_at(network: Network, image: Pyramid, crop: Crop) -> Hand:
    """What the model says of ``crop``; it always gives points, ``presence`` says whether to believe them.

    The model's number is that of the person's own right hand in an image that is not mirrored, as the photographs of
    the tests show; older guides of MediaPipe, whose labels are for a mirrored selfie, say the opposite.
    """
    points, presence, right, _ = network(image.look(crop, SIDE))
    pixels = crop.to_image(points.reshape(21, 3)[:, :2] / np.float32(SIDE))
    return Hand(points=pixels, presence=float(presence[0, 0]), right=float(right[0, 0]))


def second_pass(network: Network, image: Pyramid, hand: Hand) -> Hand:
    """The same hand by the median of several looks through windows laid around its own points.

    Where two hands overlap, a single look may give one hand a finger of the other; most looks do not.
    """
    around = _around(hand)
    crops = (
        Crop(around.x + dx * around.size, around.y + dy * around.size, around.size * scale, around.angle + turn)
        for turn, scale, dx, dy in LOOKS
    )
    looks = [hand_at(network, image, crop) for crop in crops]
    each = np.stack([look.points for look in looks])
    middle = Hand(
        points=np.median(each, axis=0).astype(np.float32),
        presence=float(np.median([look.presence for look in looks])),
        right=float(np.median([look.right for look in looks])),
    )
    gaps = np.linalg.norm(each - middle.points, axis=2).mean(axis=0) / max(middle.size, 1.0)
    return replace(middle, spread=gaps.astype(np.float32))


def _around(hand: Hand) -> Crop:
    """The window of a second look: upright along the palm, around the points that move least."""
    points = hand.points
    knuckles = (points[5] + points[13]) / 2 / 2 + points[9] / 2
    along = knuckles - points[0]
    angle = math.atan2(float(along[1]), float(along[0])) + math.pi / 2
    upright = Crop(0.0, 0.0, 1.0, angle)
    steady = upright.from_image(points[list(STEADY)]) - 0.5
    low, high = steady.min(axis=0), steady.max(axis=0)
    centre = (low + high) / 2 + np.float32(0.5)
    centre[1] -= 0.1 * (high[1] - low[1])
    x, y = upright.to_image(centre).tolist()
    return Crop(x, y, 2.0 * float((high - low).max()), angle)
