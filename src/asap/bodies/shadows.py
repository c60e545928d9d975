"""Shadows: shadow rays are sorted into a grid across the light, where triangles search them.

Legend: L lights, N samples, R shadow rays of one light (from the samples that face it), V vertices, F triangles.
"""

import numpy as np
import warp as wp

from asap.bodies import kernels
from asap.bodies.rotations import cross, length
from asap.core.records import FloatArray, Floats, IntArray

_GRID = 128
"""Cells along each side; at most 256, because the index of a cell has 16 bits."""


class _Rays:
    """The shadow rays of one light, in the order of the grid cells."""

    def __init__(self, light: Floats, origins: FloatArray, normals: FloatArray) -> None:
        """Sort the rays of the samples with ``normals`` (N, 3) towards ``light``, from ``origins`` (N, 3)."""
        self.axes = light_axes(light)
        samples = np.flatnonzero(normals @ light > 0)
        places = self.axes @ np.take(origins, samples, axis=0).T
        self.corner = places.min(axis=1, initial=np.inf)
        span = places.max(axis=1, initial=-np.inf) - self.corner
        self.scale = np.array([*(_GRID / np.maximum(span[:2], 1e-6)), 1.0], dtype=np.float32)
        places = (places - self.corner[:, None]) * self.scale[:, None]
        across, down = np.minimum(places[:2], _GRID - 1).astype(np.uint16)
        cells = down * np.uint16(_GRID) + across
        order = np.argsort(cells, kind="stable")
        self.samples = samples[order]
        """(R,) the sample from which each ray starts."""
        self.origins = np.take(places.T, order, axis=0)
        """(R, 3) start in light coordinates."""
        self.starts = np.append(0, np.cumsum(np.bincount(cells, minlength=_GRID**2))).astype(np.int32)
        """(cells + 1,) the first ray of each cell."""

    def place(self, vertices: FloatArray) -> FloatArray:
        """``vertices`` (V, 3) in light coordinates."""
        return np.asarray((vertices @ self.axes.T - self.corner) * self.scale, dtype=np.float32)


def shine(vertices: FloatArray, faces: "wp.array", lights: Floats, origins: Floats, normals: Floats) -> IntArray:
    """(L, N) 1 where a light reaches a sample and else 0.

    Args:
        vertices: (V, 3) of everything that may block light.
        faces: (3F,) vertex indices, on the device to use.
        lights: (L, 3) unit vectors to the lights.
        origins: (N, 3) positions just above the skin.
        normals: (N, 3) of the skin there.
    """
    device = faces.device
    rays = [_Rays(light, origins, normals) for light in lights]
    ends = np.cumsum([0, *(len(one.samples) for one in rays)]).astype(np.int32)
    dark = wp.zeros(int(ends[-1]), dtype=wp.int32, device=device)
    places = np.stack([one.place(vertices) for one in rays], axis=1)
    starts = np.stack([one.starts + end for one, end in zip(rays, ends, strict=False)])
    above, below = (
        wp.array(rows, dtype=wp.vec3, device=device, copy=False)
        for rows in (places, np.concatenate([one.origins for one in rays]))
    )
    inputs = [above, faces, below, wp.array(starts, dtype=wp.int32, device=device, copy=False), _GRID, dark]
    wp.launch(kernels.shadow, dim=len(faces) // 3, inputs=inputs, device=device)
    bright = np.zeros((len(lights), len(origins)), dtype=np.int32)
    for row, one, shaded in zip(bright, rays, np.split(dark.numpy(), ends[1:-1]), strict=True):
        row[one.samples] = 1 - shaded
    return bright


def light_axes(direction: Floats) -> FloatArray:
    """Rows: two unit vectors across ``direction`` and ``direction`` itself, all at right angles."""
    ahead = np.asarray(direction, dtype=np.float64)
    ahead = ahead / length(ahead)
    side = cross(ahead, np.array((0.0, 0.0, 1.0) if abs(ahead[2]) < 0.9 else (1.0, 0.0, 0.0)))
    side = side / length(side)
    return np.stack([side, cross(ahead, side), ahead]).astype(np.float32)
