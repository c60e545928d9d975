"""Faces: 468 points of the mesh, and the 68 points of COCO-WholeBody out of them.

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
"""Side of the window against the longer side of the face's box."""
EYES: Final = (33, 263)
"""Outer corners of the person's right and left eye on the mesh."""
JAW: Final = (127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152)
"""The mesh's rim from the person's right ear to the chin; the other side is ``JAW_LEFT``."""
JAW_LEFT: Final = (152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 356)
BROWS: Final = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
BRIDGE: Final = (168, 6, 197, 195, 5, 4)
NOSTRILS: Final = (98, 97, 2, 326, 327)
EYE_RIMS: Final = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
MOUTH: Final = (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87)
SAME: Final = 0.4
"""Two faces whose points lie closer on the mean than this share of their size are one."""


@dataclass(frozen=True, kw_only=True)
class Face:
    """A face as the model sees it."""

    points: FloatArray
    """(468, 2) pixels."""
    presence: float
    """In [0, 1], that there is a face."""

    @property
    def anchor(self) -> FloatArray:
        """All points."""
        return self.points

    @property
    def size(self) -> float:
        """Longer side of the points' box, pixels."""
        return float(np.ptp(self.points, axis=0).max())


def from_detection(found: Detection) -> Crop:
    """The window for a detected face: its eyes level."""
    right, left = found.points[0], found.points[1]
    x, y = ((found.box[:2] + found.box[2:]) / 2).tolist()
    angle = math.atan2(float(left[1] - right[1]), float(left[0] - right[0]))
    return Crop(x, y, ROOM * float((found.box[2:] - found.box[:2]).max()), angle)


def face_at(network: Network, image: Pyramid, crop: Crop) -> Face:
    """What the model says of ``crop``; ``presence`` says whether to believe it."""
    points, presence = network(image.look(crop, SIDE))
    pixels = crop.to_image(points.reshape(468, 3)[:, :2] / np.float32(SIDE))
    return Face(points=pixels, presence=float(expit(presence.ravel()[0])))


def second_pass(network: Network, image: Pyramid, face: Face) -> Face:
    """The same face through a window laid around its own points."""
    right, left = face.points[list(EYES)]
    angle = math.atan2(float(left[1] - right[1]), float(left[0] - right[0]))
    upright = Crop(0.0, 0.0, 1.0, angle)
    inside = upright.from_image(face.points)
    low, high = inside.min(axis=0), inside.max(axis=0)
    x, y = upright.to_image((low + high) / 2).tolist()
    return face_at(network, image, Crop(x, y, ROOM * float((high - low).max()), angle))


def points_68(mesh: FloatArray) -> FloatArray:
    """(68, 2) the points ``face-0`` to ``face-67`` out of the (468, 2) mesh.

    Where a point of the mesh has the same meaning it is taken (the mesh's published image gives the numbers); jaw and
    bridge of the nose are spaced evenly along the mesh's own lines, as the 68 points are.
    """
    jaw = np.concatenate([_even(mesh[list(JAW)], 9)[:-1], _even(mesh[list(JAW_LEFT)], 9)])
    bridge = _even(mesh[list(BRIDGE)], 4)
    rest = mesh[list(NOSTRILS + EYE_RIMS + MOUTH)]
    return np.concatenate([jaw, mesh[list(BROWS)], bridge, rest])


def _even(line: FloatArray, count: int) -> FloatArray:
    """``count`` points at equal steps along a line of (N, 2) points, its ends included."""
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    walked = np.concatenate([[0.0], np.cumsum(steps)])
    at = np.linspace(0, walked[-1], count)
    return np.stack([np.interp(at, walked, line[:, axis]) for axis in (0, 1)], axis=1).astype(np.float32)
