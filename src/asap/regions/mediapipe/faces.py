"""Faces: 468 points of the mesh, and the 68 points of COCO-WholeBody derived from them.

The windows follow the graphs in ``mediapipe/modules/face_landmark`` of google-ai-edge/mediapipe (Apache-2.0).
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import expit

from asap.core.records import FloatArray
from asap.regions.mediapipe.crops import Crop, Pyramid
from asap.regions.mediapipe.detection import Detection
from asap.regions.mediapipe.network import Network

__all__ = ["SAME", "Face", "face_at", "from_detection", "points_68", "second_pass"]

MODEL: Final = "face_landmark"
SIDE: Final = 192
ROOM: Final = 1.5
"""Side of the window over the longer side of the box of the face."""
EYES: Final = (33, 263)
"""Outer corners of the person's right and left eye on the mesh."""
JAW: Final = (127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152)
"""The rim of the mesh from the person's right ear to the chin; the other side is ``JAW_LEFT``."""
JAW_LEFT: Final = (152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 356)
BROWS: Final = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
BRIDGE: Final = (168, 6, 197, 195, 5, 4)
NOSTRILS: Final = (98, 97, 2, 326, 327)
EYE_RIMS: Final = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
MOUTH: Final = (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87)
SAME: Final = 0.4
"""Two faces are the same if the mean distance of their points is smaller than this share of their size."""


@dataclass(frozen=True, kw_only=True)
class Face:
    """A face as the model returns it."""

    points: FloatArray
    """(468, 2) pixels."""
    presence: float
    """Probability that there is a face."""

    @property
    def anchor(self) -> FloatArray:
        """All points."""
        return self.points

    @property
    def size(self) -> float:
        """Longer side of the box of the points, in pixels."""
        return float(np.ptp(self.points, axis=0).max())


def from_detection(found: Detection) -> Crop:
    """The window for a detected face, with level eyes."""
    right, left = found.points[0], found.points[1]
    x, y = ((found.box[:2] + found.box[2:]) / 2).tolist()
    angle = math.atan2(float(left[1] - right[1]), float(left[0] - right[0]))
    return Crop(x, y, ROOM * float((found.box[2:] - found.box[:2]).max()), angle)


def face_at(network: Network, image: Pyramid, crop: Crop) -> Face:
    """The result of the model for ``crop``; ``presence`` tells whether there is a face."""
    points, presence = network(image.view(crop, SIDE))
    pixels = crop.to_image(points.reshape(468, 3)[:, :2] / np.float32(SIDE))
    return Face(points=pixels, presence=float(expit(presence.ravel()[0])))


def second_pass(network: Network, image: Pyramid, face: Face) -> Face:
    """The same face in a window around the points of the first pass."""
    right, left = face.points[list(EYES)]
    angle = math.atan2(float(left[1] - right[1]), float(left[0] - right[0]))
    upright = Crop(0.0, 0.0, 1.0, angle)
    inside = upright.from_image(face.points)
    low, high = inside.min(axis=0), inside.max(axis=0)
    x, y = upright.to_image((low + high) / 2).tolist()
    return face_at(network, image, Crop(x, y, ROOM * float((high - low).max()), angle))


def points_68(mesh: FloatArray) -> FloatArray:
    """(68, 2) the points ``face-0`` to ``face-67`` from the (468, 2) mesh.

    Points of the mesh with the same meaning are used directly (their indices come from the published image of the
    mesh). Jaw and bridge of the nose are sampled evenly along lines of the mesh, like the 68 points.
    """
    jaw = np.concatenate([_even(mesh[list(JAW)], 9)[:-1], _even(mesh[list(JAW_LEFT)], 9)])
    bridge = _even(mesh[list(BRIDGE)], 4)
    rest = mesh[list(NOSTRILS + EYE_RIMS + MOUTH)]
    return np.concatenate([jaw, mesh[list(BROWS)], bridge, rest])


def _even(line: FloatArray, count: int) -> FloatArray:
    """``count`` points at equal distances along a line of (N, 2) points, including its ends."""
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    walked = np.concatenate([[0.0], np.cumsum(steps)])
    at = np.linspace(0, walked[-1], count)
    return np.stack([np.interp(at, walked, line[:, axis]) for axis in (0, 1)], axis=1).astype(np.float32)
