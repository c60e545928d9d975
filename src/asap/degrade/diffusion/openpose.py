"""Drawings of skeletons in the colours and line widths on which the pose ControlNets were trained.

Source: ``draw_bodypose``, ``draw_handpose`` and ``draw_facepose`` of lllyasviel/ControlNet, which DWPose and
huggingface/controlnet_aux keep. The 18 body points have one colour each. The 17 limbs are filled ellipses of half-width
4 in the colour of their index at 0.6 of its brightness, below the joints, which are discs of radius 4. Each hand has 20
lines of width 2 in rainbow colours, below blue discs of radius 4. The face has white discs of radius 3. Points with a
confidence below 0.3 are not drawn. Feet are not drawn.
"""

import colorsys
from collections.abc import Sequence
from typing import Final

import numpy as np

from asap.core.records import BoolArray, ByteArray, FloatArray
from asap.core.wholebody import FACE_POINTS, FINGERS, KEYPOINTS

__all__ = ["DRAWN", "EDGES", "draw_skeletons"]

DRAWN: Final = 0.3
"""Smallest confidence of a point that is drawn."""
_INDEX: Final = {name: i for i, name in enumerate(KEYPOINTS)}
_NECK: Final = -1
"""COCO-WholeBody has no keypoint for the neck: it is drawn midway between the shoulders."""


def _openpose() -> tuple[int, ...]:
    names = [f"{side}_{part}" for side in ("right", "left") for part in ("shoulder", "elbow", "wrist")]
    names += [f"{side}_{part}" for side in ("right", "left") for part in ("hip", "knee", "ankle")]
    names += ["right_eye", "left_eye", "right_ear", "left_ear"]
    return (_INDEX["nose"], _NECK, *(_INDEX[name] for name in names))


BODY: Final = _openpose()
"""The keypoint for each of the 18 points of OpenPose."""
LIMBS: Final = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13)),
    *((1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
)
"""Pairs of the 18 points; the n-th pair has the n-th colour."""
COLOURS: Final = (
    *((255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0)),
    *((0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255)),
    *((0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85)),
)
BLUE: Final = (0, 0, 255)
WHITE: Final = (255, 255, 255)
HAND_LINES: Final = tuple((4 * f + j - 1 if j > 1 else 0, 4 * f + j) for f in range(5) for j in range(1, 5))
"""Pairs of the 21 points of a hand: the root, then four for each finger."""


def _hand(side: str) -> tuple[int, ...]:
    return (_INDEX[f"{side}_hand_root"], *(_INDEX[f"{side}_{f}{j}"] for f in FINGERS for j in (1, 2, 3, 4)))


HANDS: Final = (_hand("right"), _hand("left"))
FACE: Final = tuple(_INDEX[f"face-{i}"] for i in range(FACE_POINTS))
EDGES: Final = (
    *((BODY[a], BODY[b]) for a, b in LIMBS if _NECK not in (BODY[a], BODY[b])),
    *((hand[a], hand[b]) for hand in HANDS for a, b in HAND_LINES),
)
"""Pairs of keypoints that a drawing connects, except those at the neck."""


def draw_skeletons(people: Sequence[FloatArray], height: int, width: int, stroke: float = 1.0) -> ByteArray:
    """An image (height, width, 3) of all ``people`` on black.

    Args:
        people: for each (133, 3) x and y in pixels of the image, confidence.
        height: pixels.
        width: pixels.
        stroke: factor on all widths; 1 as in training at 512 pixels, more for ControlNets trained with thicker lines.
    """
    canvas = np.zeros((height, width, 3), dtype=np.uint8)
    bodies = [_body(person) for person in people]
    for body in bodies:
        for (start, stop), colour in zip(LIMBS, COLOURS, strict=False):
            if body[start, 2] >= DRAWN and body[stop, 2] >= DRAWN:
                dim = tuple(int(value * 0.6) for value in colour)
                _fill(canvas, _ellipse(canvas, body[start], body[stop], 4 * stroke), dim)
    for body in bodies:
        for point, colour in zip(body, COLOURS, strict=True):
            _disc(canvas, point, 4 * stroke, colour)
    for person in people:
        for hand in HANDS:
            _draw_hand(canvas, person[list(hand)], stroke)
    for person in people:
        for point in person[list(FACE)]:
            _disc(canvas, point, 3 * stroke, WHITE)
    return canvas


def _body(person: FloatArray) -> FloatArray:
    """(18, 3) the points of OpenPose; the neck is known if both shoulders are."""
    out = person[[max(i, 0) for i in BODY]].copy()
    shoulders = person[[_INDEX["left_shoulder"], _INDEX["right_shoulder"]]]
    out[BODY.index(_NECK)] = (*shoulders[:, :2].mean(axis=0), shoulders[:, 2].min())
    return out


def _draw_hand(canvas: ByteArray, hand: FloatArray, stroke: float) -> None:
    for number, (start, stop) in enumerate(HAND_LINES):
        if hand[start, 2] >= DRAWN and hand[stop, 2] >= DRAWN:
            colour = tuple(round(255 * value) for value in colorsys.hsv_to_rgb(number / len(HAND_LINES), 1.0, 1.0))
            _fill(canvas, _line(canvas, hand[start], hand[stop], stroke), colour)
    for point in hand:
        _disc(canvas, point, 4 * stroke, BLUE)


def _grid(canvas: ByteArray) -> tuple[FloatArray, FloatArray]:
    y, x = np.ogrid[: canvas.shape[0], : canvas.shape[1]]
    return x.astype(np.float32), y.astype(np.float32)


def _whole(point: FloatArray) -> tuple[float, float]:
    """The pixel that contains a point: shapes are drawn between whole pixels."""
    return float(np.floor(point[0])), float(np.floor(point[1]))


def _fill(canvas: ByteArray, area: BoolArray, colour: tuple[int, ...]) -> None:
    canvas[area] = colour


def _disc(canvas: ByteArray, point: FloatArray, radius: float, colour: tuple[int, ...]) -> None:
    if point[2] < DRAWN:
        return
    (x, y), (px, py) = _grid(canvas), _whole(point)
    _fill(canvas, np.asarray((x - px) ** 2 + (y - py) ** 2 <= radius * radius), colour)


def _ellipse(canvas: ByteArray, start: FloatArray, stop: FloatArray, half_width: float) -> BoolArray:
    (x, y), (ax, ay), (bx, by) = _grid(canvas), _whole(start), _whole(stop)
    reach = max(float(np.hypot(bx - ax, by - ay)) / 2, 0.5)
    cos, sin = (bx - ax) / (2 * reach), (by - ay) / (2 * reach)
    dx, dy = x - (ax + bx) / 2, y - (ay + by) / 2
    along, across = dx * cos + dy * sin, dy * cos - dx * sin
    return np.asarray((along / reach) ** 2 + (across / half_width) ** 2 <= 1.0, dtype=bool)


def _line(canvas: ByteArray, start: FloatArray, stop: FloatArray, half_width: float) -> BoolArray:
    (x, y), (ax, ay), (bx, by) = _grid(canvas), _whole(start), _whole(stop)
    square = max((bx - ax) ** 2 + (by - ay) ** 2, 1e-6)
    share = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / square, 0.0, 1.0)
    dx, dy = x - (ax + share * (bx - ax)), y - (ay + share * (by - ay))
    return np.asarray(dx * dx + dy * dy <= half_width * half_width, dtype=bool)
