"""Resampling with one cubic spline, used for every pixel that moves, on both sides of a pair."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from asap.core.records import BoolArray, Floats


class Sampler:
    """An image (H, W, C) in float32 that can be read between its pixels."""

    def __init__(self, image: Floats) -> None:
        """Compute the coefficients of the spline."""
        self.shape = image.shape
        self._channels = [
            ndimage.spline_filter(image[:, :, c], 3, output=np.float32, mode="mirror") for c in range(image.shape[2])
        ]

    def at(self, points: Floats) -> Floats:
        """(N, C) values at ``points`` (N, 2), x and y in pixels; beyond the edge the image is mirrored."""
        where = np.ascontiguousarray(points[:, ::-1].T)
        found = [
            ndimage.map_coordinates(c, where, order=3, prefilter=False, mode="mirror", output=np.float32)
            for c in self._channels
        ]
        return np.stack(found, axis=1)


def linear(field: Floats, points: Floats) -> Floats:
    """(N,) values of ``field`` (H, W) at ``points`` (N, 2), by bilinear interpolation; 0 beyond the edge."""
    where = np.ascontiguousarray(points[:, ::-1].T)
    found = ndimage.map_coordinates(field, where, order=1, mode="constant", output=np.float32)
    return np.asarray(found, dtype=np.float32)


def pixels(inside: BoolArray) -> Floats:
    """(N, 2) x and y of the True pixels of ``inside`` (H, W), row by row."""
    return np.argwhere(inside)[:, ::-1].astype(np.float32)


def grid(shape: tuple[int, int]) -> Floats:
    """(H, W, 2) x and y of every pixel."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return np.stack([x, y], axis=2)


def smooth_noise(shape: tuple[int, int], cell: float, rng: np.random.Generator) -> Floats:
    """(H, W) smooth random field of about unit variance whose bumps are about ``cell`` pixels apart."""
    small = tuple(int(np.ceil(n / cell)) + 4 for n in shape)
    coarse = rng.standard_normal(small).astype(np.float32)
    start = rng.uniform(1, 2, size=2)
    rows = start[0] + np.arange(shape[0]) / cell
    columns = start[1] + np.arange(shape[1]) / cell
    weights = [_spline_weights(rows, small[0]), _spline_weights(columns, small[1])]
    field = weights[0] @ coarse @ weights[1].T
    return np.asarray(field * 2.25, dtype=np.float32)


def _spline_weights(places: Floats, count: int) -> Floats:
    """(N, count) weights of cubic B-splines at ``places``."""
    distance = np.abs(places[:, None] - np.arange(count)[None])
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.asarray(np.where(distance < 1, near, far), dtype=np.float32)


def blocks(values: npt.NDArray[Any], scale: int) -> npt.NDArray[Any]:
    """(h, scale, w, scale, ...) blocks of ``values`` (H, W, ...); the last blocks are padded with edge values."""
    pad = [(0, -n % scale) for n in values.shape[:2]] + [(0, 0)] * (values.ndim - 2)
    padded = np.pad(values, pad, mode="edge")
    height, width = padded.shape[0] // scale, padded.shape[1] // scale
    return padded.reshape(height, scale, width, scale, *values.shape[2:])


def block_mean(values: Floats, scale: int) -> Floats:
    """(h, w, ...) mean of each square block of ``scale`` pixels."""
    return values if scale == 1 else np.asarray(blocks(values, scale).mean(axis=(1, 3)), dtype=np.float32)


def enlarge(small: Floats, scale: int, shape: tuple[int, ...]) -> Floats:
    """``small`` (h, w, C) of block means at full size, interpolated between the blocks."""
    if scale == 1:
        return small
    for axis in (0, 1):
        place = np.clip((np.arange(shape[axis]) + 0.5) / scale - 0.5, 0, small.shape[axis] - 1)
        low = np.minimum(place.astype(int), max(small.shape[axis] - 2, 0))
        part = (place - low).astype(np.float32).reshape(-1, *(1,) * (1 - axis), 1)
        high = np.minimum(low + 1, small.shape[axis] - 1)
        small = small.take(low, axis=axis) * (1 - part) + small.take(high, axis=axis) * part
    return np.asarray(small, dtype=np.float32)
