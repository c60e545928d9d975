"""Masks of simple shapes: tapered capsules along bones and filled polygons. Points are continuous pixels (x, y)."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from scipy.spatial import ConvexHull, QhullError

from asap.core.records import BoolArray, FloatArray

__all__ = ["capsule", "chain", "hull", "overlap", "polygon", "resized", "touches_edge"]


def capsule(mask: BoolArray, start: FloatArray, end: FloatArray, radius: float, end_radius: float) -> None:
    """Set the pixels of ``mask`` whose centre lies in the capsule from ``start`` to ``end``; its radius tapers."""
    reach = max(radius, end_radius)
    low = np.maximum(np.floor(np.minimum(start, end) - reach), 0).astype(int)
    high = np.minimum(np.ceil(np.maximum(start, end) + reach).astype(int), mask.shape[::-1])
    if (high <= low).any():
        return
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]].astype(np.float32) + np.float32(0.5)
    along = np.asarray(end - start, np.float32)
    length = max(float(along @ along), 1e-6)
    share = np.clip(((x - start[0]) * along[0] + (y - start[1]) * along[1]) / length, 0, 1)
    gap = np.hypot(x - start[0] - share * along[0], y - start[1] - share * along[1])
    mask[low[1] : high[1], low[0] : high[0]] |= gap <= radius + share * (end_radius - radius)


def chain(mask: BoolArray, points: FloatArray, radii: Sequence[float]) -> None:
    """Capsules along (N, 2) ``points``, with the radius of each point."""
    for a, b, wide, wide_end in zip(points, points[1:], radii, radii[1:], strict=False):
        capsule(mask, a, b, wide, wide_end)


def polygon(shape: tuple[int, int], points: FloatArray) -> BoolArray:
    """(H, W) True inside the (N, 2) outline."""
    canvas = Image.new("1", shape[::-1])
    ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in points - 0.5], fill=1, outline=1)
    return np.array(canvas, dtype=np.bool_)


def hull(points: FloatArray) -> FloatArray:
    """(M, 2) corners of the convex hull, or the points themselves if they lie on one line."""
    try:
        corners: FloatArray = points[ConvexHull(points).vertices]
    except QhullError:
        return points
    return corners


def touches_edge(mask: BoolArray) -> bool:
    """Whether a True pixel lies on the edge of the image."""
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def resized(mask: BoolArray, size: tuple[int, int]) -> BoolArray:
    """``mask`` resized to ``size`` (width, height), with an interpolated edge."""
    if mask.shape[::-1] == tuple(size):
        return mask
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR)) >= 128


def overlap(box: FloatArray, boxes: FloatArray) -> FloatArray:
    """(N,) intersection over union of ``box`` with each of (N, 4) ``boxes``."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    area, areas = np.prod(box[2:] - box[:2]), np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    share: FloatArray = shared / np.maximum(area + areas - shared, 1e-6)
    return share
