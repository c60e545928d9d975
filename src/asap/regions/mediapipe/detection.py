"""Decode the output of the detectors: anchors, boxes with a few points, and merging of overlapping boxes.

The parameters of each detector are those of its graph in google-ai-edge/mediapipe, ``mediapipe/modules`` (Apache-2.0).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from scipy.special import expit

from asap.core.records import FloatArray
from asap.regions.geometry import overlap
from asap.regions.mediapipe.crops import Crop, Pyramid
from asap.regions.mediapipe.network import Network

__all__ = ["BODY", "FACE_FAR", "FACE_NEAR", "PALM", "Detection", "Detector", "detect", "merge"]


@dataclass(frozen=True, kw_only=True)
class Detector:
    """A single-shot detector of this family."""

    model: str
    """One of ``models.MODELS``."""
    side: int
    """Pixels of its square input."""
    grids: tuple[tuple[int, int], ...]
    """(cells per side, anchors per cell) in the order of its output."""
    points: int
    """Number of points with each box."""
    signed: bool
    """Whether its input is in [-1, 1] instead of [0, 1]."""


PALM: Final = Detector(model="palm_detection_full", side=192, grids=((24, 2), (12, 6)), points=7, signed=False)
FACE_NEAR: Final = Detector(
    model="face_detection_short_range", side=128, grids=((16, 2), (8, 6)), points=6, signed=True
)
FACE_FAR: Final = Detector(model="face_detection_full_range_sparse", side=192, grids=((48, 1),), points=6, signed=True)
BODY: Final = Detector(model="pose_detection", side=224, grids=((28, 2), (14, 2), (7, 6)), points=4, signed=True)


@dataclass(frozen=True, kw_only=True)
class Detection:
    """A box in the image and the points inside it."""

    score: float
    """In [0, 1]."""
    box: FloatArray
    """(4,) x0, y0, x1, y1 in pixels of the image."""
    points: FloatArray
    """(P, 2) pixels of the image."""


@lru_cache(maxsize=8)
def anchors(grids: tuple[tuple[int, int], ...]) -> FloatArray:
    """(A, 2) centres of the cells in [0, 1], row by row, each as often as its cell has anchors."""
    rows = []
    for cells, each in grids:
        centres = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        y, x = np.meshgrid(centres, centres, indexing="ij")
        rows.append(np.repeat(np.stack([x.ravel(), y.ravel()], 1), each, axis=0))
    return np.concatenate(rows)


def detect(network: Network, detector: Detector, image: Pyramid, crop: Crop, threshold: float) -> list[Detection]:
    """Detections in an upright ``crop``, best first, with overlapping boxes merged."""
    pixels = image.view(crop, detector.side)
    raw, scores = network(pixels * 2 - 1 if detector.signed else pixels)
    probability = expit(scores[0, :, 0])
    kept = np.flatnonzero(probability >= threshold)
    raw, centre = raw[0, kept] / detector.side, anchors(detector.grids)[kept]
    middle, half = raw[:, :2] + centre, raw[:, 2:4] / 2
    points = raw[:, 4 : 4 + 2 * detector.points].reshape(-1, detector.points, 2) + centre[:, None]
    corners = np.concatenate([crop.to_image(middle - half), crop.to_image(middle + half)], 1)
    pixels = crop.to_image(points)
    found = [
        Detection(score=float(probability[k]), box=corners[i], points=pixels[i]) for i, k in enumerate(kept.tolist())
    ]
    return merge(found)


def merge(found: Sequence[Detection], limit: float = 0.3) -> list[Detection]:
    """Replace boxes that overlap by more than ``limit`` with their mean, weighted by score; keep the best score."""
    left = sorted(found, key=lambda d: -d.score)
    merged: list[Detection] = []
    while left:
        same = overlap(left[0].box, np.stack([d.box for d in left])) > limit
        same[0] = True
        group = [d for d, s in zip(left, same.tolist(), strict=True) if s]
        left = [d for d, s in zip(left, same.tolist(), strict=True) if not s]
        weights = np.array([d.score for d in group], np.float32)
        weights /= weights.sum()
        box = np.tensordot(weights, np.stack([d.box for d in group]), 1).astype(np.float32)
        points = np.tensordot(weights, np.stack([d.points for d in group]), 1).astype(np.float32)
        merged.append(Detection(score=group[0].score, box=box, points=points))
    return merged
