"""Square, rotated windows of an image: the input of every model of the family.

Coordinates are continuous pixels: the top left pixel spans 0 to 1, its centre is at 0.5.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from asap.core.records import ByteArray, FloatArray

__all__ = ["Crop", "Pyramid", "tiles", "whole"]

_LEVELS: Final = 5


@dataclass(frozen=True)
class Crop:
    """A square window: its centre and side in pixels, and its rotation in radians (positive rotates x towards y)."""

    x: float
    y: float
    size: float
    angle: float = 0.0

    def to_image(self, points: FloatArray) -> FloatArray:
        """Map (..., 2) points of the window, with sides from 0 to 1, to pixels of the image."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        turn = np.array([[cos, sin], [-sin, cos]], np.float32)
        return ((points - 0.5) * self.size @ turn + (self.x, self.y)).astype(np.float32)

    def from_image(self, points: FloatArray) -> FloatArray:
        """The inverse of ``to_image``."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        turn = np.array([[cos, -sin], [sin, cos]], np.float32)
        return ((points - (self.x, self.y)) @ turn / self.size + 0.5).astype(np.float32)


def whole(width: int, height: int) -> Crop:
    """The smallest upright square that contains the image, centred on it."""
    return Crop(width / 2, height / 2, float(max(width, height)))


def tiles(width: int, height: int, share: float) -> list[Crop]:
    """Overlapping upright squares over the whole image, with ``share`` of its longer side each, for small people."""
    side = share * max(width, height)
    steps = [max(1, math.ceil(length / side)) for length in (width, height)]
    xs, ys = (
        [length / 2] if many == 1 else np.linspace(side / 2, length - side / 2, many).tolist()
        for length, many in zip((width, height), steps, strict=True)
    )
    return [Crop(x, y, side) for y in ys for x in xs]


class Pyramid:
    """An image at full size and repeatedly halved, so that a small view of a large window does not alias."""

    def __init__(self, image: ByteArray) -> None:
        """Keep (H, W, 3) ``image``; smaller levels are computed when first needed."""
        self.height, self.width = image.shape[:2]
        self._levels: dict[int, Image.Image] = {0: Image.fromarray(image)}

    def view(self, crop: Crop, side: int) -> FloatArray:
        """(side, side, 3) in [0, 1]: the content of ``crop``, bilinear; black outside the image."""
        level = min(_LEVELS, max(0, int(math.log2(max(crop.size / side, 1.0)))))
        factor = 2**level
        cos, sin = math.cos(crop.angle), math.sin(crop.angle)
        step = crop.size / side / factor
        half = crop.size / 2 / factor
        x, y = crop.x / factor, crop.y / factor
        matrix = (
            step * cos,
            -step * sin,
            x - half * cos + half * sin,
            step * sin,
            step * cos,
            y - half * sin - half * cos,
        )
        level_image = self._at(level)
        seen = level_image.transform((side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
        return np.asarray(seen, np.float32) / np.float32(255.0)

    def _at(self, level: int) -> Image.Image:
        if level not in self._levels:
            self._levels[level] = self._levels[0].reduce(2**level)
        return self._levels[level]
