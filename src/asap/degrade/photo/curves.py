"""Curves along bones, with coordinates for the pixels near them: position along the curve and distance beside it.

A warp of a finger or limb is a second curve with the same coordinates. Each pixel of the result reads the source pixel
with the same coordinates on the first curve. The part then bends, stretches and swells with its bones, and nothing else
moves.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from asap.core.records import Floats

PER_BONE = 24
"""Samples of a curve between two joints."""
ENDS = 16
"""Samples beyond the first and the last joint."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A smooth line of N samples through joints, with straight ends beyond the first and the last."""

    points: Floats
    """(N, 2) x and y in pixels."""
    tangents: Floats
    """(N, 2) unit vectors."""

    @property
    def normals(self) -> Floats:
        """(N,  2) unit vectors, a quarter turn clockwise on the screen from the tangents."""
        return np.stack([-self.tangents[:, 1], self.tangents[:, 0]], axis=1)

    @property
    def steps(self) -> Floats:
        """(N,) distance in pixels between samples, around each sample."""
        return np.asarray(np.linalg.norm(np.gradient(self.points, axis=0), axis=1), dtype=np.float32)

    def locate(self, places: Floats) -> tuple[Floats, Floats]:
        """Position along the curve in fractional samples, and pixels beside it, (M,) each, of ``places`` (M, 2)."""
        _, nearest = cKDTree(self.points).query(places)
        local = places - self.points[nearest]
        # one Newton step to the foot of the perpendicular; the step is small far outside a bend
        bend = np.gradient(self.tangents, axis=0)[nearest]
        step = np.maximum(self.steps[nearest], 1e-3)
        slope = np.maximum(step - (local * bend).sum(axis=1), 0.3 * step)
        along = nearest + np.clip((local * self.tangents[nearest]).sum(axis=1) / slope, -1, 1)
        normals = self.at(along, self.normals)
        beside = ((places - self.at(along, self.points)) * normals).sum(axis=1)
        return along.astype(np.float32), beside.astype(np.float32)

    def at(self, along: Floats, values: Floats) -> Floats:
        """``values`` (N, ...) of the samples, interpolated at ``along`` (M,)."""
        low = np.clip(np.floor(along).astype(np.int64), 0, len(values) - 2)
        part = np.clip(along - low, 0, 1)
        part = part.reshape(-1, *(1,) * (values.ndim - 1)).astype(np.float32)
        return np.asarray(values[low] * (1 - part) + values[low + 1] * part, dtype=np.float32)

    def places(self, along: Floats, beside: Floats) -> Floats:
        """(M, 2) pixels of the coordinates that ``locate`` returns."""
        return self.at(along, self.points) + self.at(along, self.normals) * beside[:, None]


def curve(joints: Floats, before: float, after: float, softness: float = 0.22) -> Curve:
    """A curve through ``joints`` (K, 2) with ends of ``before`` and ``after`` pixels.

    ``softness`` is the rounding of corners, as a share of a bone.
    """
    joints = np.asarray(joints, dtype=np.float64)
    share = np.arange(PER_BONE * (len(joints) - 1) + 1) / PER_BONE
    low = np.minimum(share.astype(int), len(joints) - 2)
    part = (share - low)[:, None]
    points = joints[low] * (1 - part) + joints[low + 1] * part
    first, last = _unit(joints[0] - joints[1]), _unit(joints[-1] - joints[-2])
    ramp = np.arange(1, ENDS + 1)[:, None] / ENDS
    points = np.concatenate([joints[0] + (before * first * ramp)[::-1], points, joints[-1] + after * last * ramp])
    return through(ndimage.gaussian_filter1d(points, softness * PER_BONE, axis=0, mode="nearest"))


def through(points: Floats) -> Curve:
    """The curve through existing samples, (N, 2)."""
    slope = np.gradient(points, axis=0)
    slope /= np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-6)
    return Curve(points=points.astype(np.float32), tangents=slope.astype(np.float32))


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-6))
