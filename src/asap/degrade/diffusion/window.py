"""Cutting a window around a part, painting in it, and pasting it back so that nothing outside the mask changes.

Legend: H and W pixels of the photograph, h and w of the window at the size that the model paints at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from PIL import Image
from scipy import ndimage

from asap.core.errors import InputError, UnknownNameError
from asap.core.photos import PartRegion
from asap.core.records import BoolArray, ByteArray, FloatArray
from asap.core.seeds import derive
from asap.degrade.diffusion.inpainter import Inpainter

__all__ = [
    "CONTEXT",
    "SEAMS",
    "Job",
    "Seam",
    "Window",
    "feather",
    "grow",
    "margin",
    "mix",
    "paint_both",
    "touched_area",
    "window_around",
]

Seam = Literal["feather", "ring"]
SEAMS: Final[tuple[Seam, ...]] = ("feather", "ring")
"""``feather``: the paste fades out towards the mask's rim. ``ring``: a band along the rim is also painted anew."""
CONTEXT: Final = 2.0
"""Side of the window over the longer side of the mask; our choice: the model sees what the part is attached to."""
ENLARGE: Final = 4.0
"""The window is enlarged at most so much: beyond, the model would paint a sharp part into a blurred image."""
RING_STRENGTH: Final = 0.4
"""How much of the band is given up; our choice: enough to draw lines through, too little for a new content."""
RING_PROMPT: Final = "a photograph, seamless, natural skin and cloth"
_NEIGHBOURS: Final = (
    {"hand", "arm"},
    {"arm", "torso"},
    {"torso", "leg"},
    {"leg", "foot"},
    {"torso", "neck"},
    {"neck", "face"},
)


@dataclass(frozen=True, kw_only=True)
class Window:
    """A part of the photograph, and the size at which the model sees it."""

    box: tuple[int, int, int, int]
    """x0, y0, x1, y1 in pixels of the photograph, end exclusive."""
    height: int
    width: int

    def cut(self, array: ByteArray) -> ByteArray:
        """The window out of an image (H, W, 3), resampled to (h, w, 3)."""
        x0, y0, x1, y1 = self.box
        return _resize(array[y0:y1, x0:x1], self.width, self.height)

    def cut_mask(self, mask: BoolArray) -> BoolArray:
        """The window out of a mask (H, W) as (h, w); a pixel is in when at least half of it is."""
        grey = np.where(mask, 255, 0).astype(np.uint8)
        x0, y0, x1, y1 = self.box
        image = Image.fromarray(grey[y0:y1, x0:x1]).resize((self.width, self.height), Image.Resampling.BILINEAR)
        return np.asarray(image) >= 128

    def back(self, picture: ByteArray, photo: ByteArray) -> ByteArray:
        """``photo`` (H, W, 3) with ``picture`` (h, w, 3) resampled into the window."""
        x0, y0, x1, y1 = self.box
        out = photo.copy()
        out[y0:y1, x0:x1] = _resize(picture, x1 - x0, y1 - y0)
        return out

    def place(self, points: FloatArray) -> FloatArray:
        """Points (..., 2) or (..., 3) in pixels of the photograph, as pixels of the window at the model's size."""
        x0, y0, x1, y1 = self.box
        out = np.array(points, dtype=np.float32)
        out[..., 0] = (points[..., 0] - x0) * (self.width / (x1 - x0))
        out[..., 1] = (points[..., 1] - y0) * (self.height / (y1 - y0))
        return out


def window_around(mask: BoolArray, native: int, multiple: int, context: float = CONTEXT) -> Window:
    """A window, square where the image allows, of ``context`` times the longer side of ``mask`` (H, W).

    Raises:
        InputError: the mask is empty.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise InputError("the region's mask is empty; leave out regions without pixels")
    height, width = mask.shape
    longer = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    side = max(int(np.ceil(context * longer)), int(np.ceil(native / ENLARGE)))
    x0, x1 = _span(int(columns[0] + columns[-1] + 1), side, width)
    y0, y1 = _span(int(rows[0] + rows[-1] + 1), side, height)
    scale = native / max(x1 - x0, y1 - y0)

    def fit(length: int) -> int:
        return max(round(length * scale / multiple), 1) * multiple

    return Window(box=(x0, y0, x1, y1), height=fit(y1 - y0), width=fit(x1 - x0))


def _span(twice_centre: int, side: int, limit: int) -> tuple[int, int]:
    """``side`` pixels around a centre (given doubled), shifted into [0, limit) and cut to it."""
    side = min(side, limit)
    start = min(max((twice_centre - side) // 2, 0), limit - side)
    return start, start + side


def _resize(array: ByteArray, width: int, height: int) -> ByteArray:
    image = Image.fromarray(np.ascontiguousarray(array))
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS), dtype=np.uint8)


def grow(mask: BoolArray, pixels: float) -> BoolArray:
    """``mask`` (H, W) with all pixels whose centres are at most ``pixels`` from one in it."""
    if not mask.any():
        return mask.copy()
    return np.asarray(ndimage.distance_transform_edt(~mask) <= pixels, dtype=bool)


def margin(mask: BoolArray) -> int:
    """How far a mask is grown and its paste feathered: a twelfth of its longer side, from 2 pixels on; our choice."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return max(2, round((max(np.ptp(rows), np.ptp(columns)) + 1) / 12))


def feather(mask: BoolArray, width: float) -> FloatArray:
    """(H, W) weights: 0 outside ``mask``, rising smoothly over ``width`` pixels from its rim inwards to 1.

    The edge of the image is no rim.
    """
    if mask.all():
        return np.ones(mask.shape, dtype=np.float32)
    depth = np.clip(ndimage.distance_transform_edt(mask) / (width + 1.0), 0.0, 1.0)
    return np.asarray(depth * depth * (3.0 - 2.0 * depth), dtype=np.float32)


def touched_area(region: PartRegion, regions: Sequence[PartRegion]) -> BoolArray:
    """The region's mask, grown by its margin, but not into other parts (H, W).

    Parts that it is attached to, of the same person, may be grown into: there the seam has to be hidden.
    """
    area = grow(region.mask, margin(region.mask))
    for other in regions:
        same = other.person == region.person and other.part == region.part and other.side == region.side
        joined = other.person == region.person and {other.part, region.part} in _NEIGHBOURS
        if not (same or joined):
            area &= ~(other.mask & ~region.mask)
    return area


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be painted where."""

    photo: ByteArray
    """(H, W, 3)."""
    area: BoolArray
    """(H, W) True where the rejected side is made anew."""
    prompt: str
    negative: str
    strength: float
    seed: int
    seam: Seam = "feather"
    context: float = CONTEXT
    chosen_control: Mapping[str, ByteArray] | None = None
    """Maps (h, w, 3) of what is right; used by the ring of the chosen side."""
    rejected_control: Mapping[str, ByteArray] | None = None
    """Maps (h, w, 3) of what is broken."""

    def __post_init__(self) -> None:
        """Refuse an unknown seam (``UnknownNameError``) and a window smaller than the mask (``InputError``)."""
        if self.seam not in SEAMS:
            raise UnknownNameError("seam", self.seam, SEAMS)
        if not self.context >= 1:
            raise InputError(f"context must be at least 1, not {self.context}")


def paint_both(job: Job, inpainter: Inpainter, window: Window) -> tuple[ByteArray, ByteArray, BoolArray]:
    """Both sides of a pair, and the area in which they differ from the photograph.

    The rejected side's area is painted anew; the chosen side goes through the same cut, encoder, decoder and paste
    without being painted, so that resampling and the model's own trace tell nothing. Both are the photograph, to the
    bit, outside the area. A ring is painted on both sides from one seed.

    Raises:
        InputError: as ``Inpainter.paint``.
    """
    before = window.cut(job.photo)
    chosen = inpainter.roundtrip(before)
    rejected = inpainter.paint(
        before,
        window.cut_mask(job.area),
        job.prompt,
        seed=job.seed,
        strength=job.strength,
        control=job.rejected_control,
        negative=job.negative,
    )
    area, width = job.area, margin(job.area)
    if job.seam == "ring":
        band = grow(area, width) & grow(~area, width)
        chosen, rejected = _ring(job, inpainter, window, (chosen, rejected), band)
        area = area | band
        width = max(1, width // 2)
    weights = feather(area, width)
    return _paste(job.photo, chosen, window, weights), _paste(job.photo, rejected, window, weights), area


def _ring(
    job: Job, inpainter: Inpainter, window: Window, sides: tuple[ByteArray, ByteArray], band: BoolArray
) -> tuple[ByteArray, ByteArray]:
    """Both sides (h, w, 3) with the band painted anew from one seed; first the rejected is pasted onto the chosen."""
    chosen, rejected = sides
    joined = np.where(window.cut_mask(job.area)[..., None], rejected, chosen).astype(np.uint8)
    ring, seed = window.cut_mask(band), derive(job.seed, "ring")
    if not ring.any():
        return chosen, joined
    new = [
        inpainter.paint(side, ring, RING_PROMPT, seed=seed, strength=RING_STRENGTH, control=control)
        for side, control in ((chosen, job.chosen_control), (joined, job.rejected_control))
    ]
    return new[0], new[1]


def _paste(photo: ByteArray, side: ByteArray, window: Window, weights: FloatArray) -> ByteArray:
    return mix(photo, window.back(side, photo), weights)


def mix(photo: ByteArray, side: ByteArray, weights: FloatArray) -> ByteArray:
    """``photo`` where ``weights`` (H, W) are 0, to the bit, ``side`` where they are 1, and in between a mixture."""
    mixed = photo + (side.astype(np.float32) - photo) * weights[..., None]
    out = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    out[weights == 0] = photo[weights == 0]
    return out
