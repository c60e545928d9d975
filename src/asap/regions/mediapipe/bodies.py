"""Bodies: 33 points, the visibility of each, and the pixels of the person.

The windows follow the graphs in ``mediapipe/modules/pose_landmark`` of google-ai-edge/mediapipe (Apache-2.0).
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.special import expit

from asap.core.records import BoolArray, FloatArray
from asap.regions.mediapipe.crops import Crop, Pyramid
from asap.regions.mediapipe.detection import Detection
from asap.regions.mediapipe.network import Network

__all__ = ["COCO", "SAME", "Body", "body_at", "from_detection", "second_pass"]

MODEL: Final = "pose_landmark_full"
SIDE: Final = 256
ROOM: Final = 1.25
PIXELS_SIDE: Final = 512
"""Longer side of the image on which the 256 x 256 mask of a person is placed before it is enlarged."""
COCO: Final = {
    "nose": 0,
    "left_eye": 2,
    "right_eye": 5,
    "left_ear": 7,
    "right_ear": 8,
    "left_shoulder": 11,
    "right_shoulder": 12,
    "left_elbow": 13,
    "right_elbow": 14,
    "left_wrist": 15,
    "right_wrist": 16,
    "left_hip": 23,
    "right_hip": 24,
    "left_knee": 25,
    "right_knee": 26,
    "left_ankle": 27,
    "right_ankle": 28,
    "left_heel": 29,
    "right_heel": 30,
    "left_big_toe": 31,
    "right_big_toe": 32,
}
"""Index among the 33 points for each keypoint of COCO-WholeBody; the small toes have none."""
TRUNK: Final = [11, 12, 23, 24]
"""Left and right shoulder, left and right hip."""
SAME: Final = 0.1
"""Two bodies are the same if the mean distance of their shoulders and hips is smaller than this share of their size."""
WINDOW: Final = 7
"""Cells of a heat map around a point whose mean corrects it."""
SURE: Final = 0.5
"""Smallest peak of a heat map that corrects a point."""


@dataclass(frozen=True, kw_only=True)
class Body:
    """A body as the model returns it."""

    points: FloatArray
    """(35, 2) pixels: 33 of the body, then two that define the next window: middle of the hips, reach of the body."""
    visibility: FloatArray
    """(33,) probability that the point is in the image and not hidden."""
    presence: float
    """Probability that there is a person."""
    mask: FloatArray
    """(256, 256) in [0, 1], over ``crop``: the pixels of the person."""
    crop: Crop

    @property
    def anchor(self) -> FloatArray:
        """Shoulders and hips."""
        return self.points[TRUNK]

    @property
    def window(self) -> Crop:
        """The window that the body defines."""
        return _window(self.points[33], self.points[34])

    @property
    def size(self) -> float:
        """Side of that window, pixels."""
        return self.window.size

    @property
    def trunk(self) -> float:
        """Length of the trunk in pixels: shoulders to hips, or an estimate from the shoulder width if it is larger."""
        left, right, left_hip, right_hip = self.points[TRUNK]
        length = float(np.linalg.norm(left + right - left_hip - right_hip)) / 2
        return max(length, 1.35 * float(np.linalg.norm(left - right)), 1.0)

    def pixels(self, shape: tuple[int, int]) -> BoolArray:
        """(H, W) the pixels of the person in the image."""
        scale = min(1.0, PIXELS_SIDE / max(shape))
        height, width = max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))
        y, x = np.mgrid[:height, :width].astype(np.float32) + np.float32(0.5)
        places = np.stack([x * shape[1] / width, y * shape[0] / height], axis=2).astype(np.float32)
        inside = np.moveaxis(self.crop.from_image(places), 2, 0)[::-1] * SIDE - 0.5
        certainty = ndimage.map_coordinates(self.mask, inside, order=1, output=np.float32)
        whole = Image.fromarray(certainty).resize(shape[::-1], Image.Resampling.BILINEAR)
        return np.asarray(whole) > 0.5


def _window(hips: FloatArray, reach: FloatArray) -> Crop:
    """The square around a body: centred on its hips, its head up."""
    along = reach - hips
    angle = math.atan2(float(along[1]), float(along[0])) + math.pi / 2
    return Crop(float(hips[0]), float(hips[1]), 2 * ROOM * float(np.hypot(*along)), angle)


def from_detection(found: Detection) -> Crop:
    """The window for a detected person."""
    return _window(found.points[0], found.points[1])


def body_at(network: Network, image: Pyramid, crop: Crop) -> Body:
    """The result of the model for ``crop``; ``presence`` tells whether there is a body."""
    raw, presence, mask, heat, _ = network(image.view(crop, SIDE))
    rows = raw.reshape(39, 5)
    inside = _corrected(rows[:35, :2] / np.float32(SIDE), heat[0, :, :, :35])
    return Body(
        points=crop.to_image(inside),
        visibility=expit(np.minimum(rows[:33, 3], rows[:33, 4])),
        presence=float(presence[0, 0]),
        mask=expit(mask[0, :, :, 0]),
        crop=crop,
    )


def second_pass(network: Network, image: Pyramid, body: Body) -> Body:
    """The same person in a window around the hips of the first pass."""
    return body_at(network, image, body.window)


def _corrected(points: FloatArray, heat: FloatArray) -> FloatArray:
    """(N, 2) points in [0, 1], moved to the local mean of their (h, w, N) heat map if it has a peak there."""
    height, width, _ = heat.shape
    moved = points.copy()
    for index, (x, y) in enumerate((points * (width, height)).tolist()):
        column, row = int(x), int(y)
        if not (0 <= column < width and 0 <= row < height):
            continue
        left, top = max(0, column - WINDOW // 2), max(0, row - WINDOW // 2)
        patch = expit(heat[top : row + WINDOW // 2 + 1, left : column + WINDOW // 2 + 1, index])
        if patch.max() < SURE:
            continue
        rows, columns = np.indices(patch.shape)
        moved[index] = (
            ((columns + left) * patch).sum() / patch.sum() / width,
            ((rows + top) * patch).sum() / patch.sum() / height,
        )
    return moved
