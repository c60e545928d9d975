"""Cut a window around a part, inpaint it, and paste it back so that nothing outside the mask changes.

Legend: H and W pixels of the photograph, h and w of the window at the resolution of the model.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from PIL import Image
from scipy import ndimage

from asap.core.errors import InputError, UnknownNameError
from asap.core.photos import PartRegion
from asap.core.records import BoolArray, ByteArray, FloatArray
from asap.core.seeds import derive
from asap.degrade.diffusion.inpainter import Inpainter, PaintRequest

__all__ = [
    "CONTEXT",
    "SEAMS",
    "InpaintTask",
    "Seam",
    "Window",
    "feather",
    "grow",
    "inpaint_both",
    "margin",
    "mix",
    "touched_area",
    "window_around",
]

Seam = Literal["feather", "ring"]
SEAMS: Final[tuple[Seam, ...]] = ("feather", "ring")
"""``feather``: the pasted area fades out towards the rim of the mask. ``ring``: a band along the rim is also
inpainted.
"""
CONTEXT: Final = 2.0
"""Side of the window over the longer side of the mask. Our choice: the model sees what the part is attached to."""
ENLARGE: Final = 4.0
"""Largest enlargement of the window. Beyond it, the model would paint a sharp part into a blurred image."""
RING_STRENGTH: Final = 0.4
"""How much of the band is discarded. Our choice: enough to continue lines, too little for new content."""
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
    """A rectangle of the photograph, and the resolution at which the model sees it."""

    box: tuple[int, int, int, int]
    """x0, y0, x1, y1 in pixels of the photograph, end exclusive."""
    height: int
    width: int

    def cut(self, array: ByteArray) -> ByteArray:
        """Crop the window out of an image (H, W, 3) and resample it to (h, w, 3)."""
        x0, y0, x1, y1 = self.box
        return _resize(array[y0:y1, x0:x1], self.width, self.height)

    def cut_mask(self, mask: BoolArray) -> BoolArray:
        """Crop the window out of a mask (H, W) as (h, w). A pixel is True if at least half of it is covered."""
        grey = np.where(mask, 255, 0).astype(np.uint8)
        x0, y0, x1, y1 = self.box
        image = Image.fromarray(grey[y0:y1, x0:x1]).resize((self.width, self.height), Image.Resampling.BILINEAR)
        return np.asarray(image) >= 128

    def paste(self, image: ByteArray, photo: ByteArray) -> ByteArray:
        """``photo`` (H, W, 3) with ``image`` (h, w, 3) resampled into the window."""
        x0, y0, x1, y1 = self.box
        out = photo.copy()
        out[y0:y1, x0:x1] = _resize(image, x1 - x0, y1 - y0)
        return out

    def place(self, points: FloatArray) -> FloatArray:
        """Map points (..., 2) or (..., 3) from pixels of the photograph to pixels of the resampled window."""
        x0, y0, x1, y1 = self.box
        out = np.array(points, dtype=np.float32)
        out[..., 0] = (points[..., 0] - x0) * (self.width / (x1 - x0))
        out[..., 1] = (points[..., 1] - y0) * (self.height / (y1 - y0))
        return out


def window_around(mask: BoolArray, native: int, multiple: int, context: float = CONTEXT) -> Window:
    """A window of ``context`` times the longer side of ``mask`` (H, W), square if the image allows.

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
    """The start and end of ``side`` pixels around a centre (given doubled), shifted into [0, limit) and cut to it."""
    side = min(side, limit)
    start = min(max((twice_centre - side) // 2, 0), limit - side)
    return start, start + side


def _resize(array: ByteArray, width: int, height: int) -> ByteArray:
    image = Image.fromarray(np.ascontiguousarray(array))
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS), dtype=np.uint8)


def grow(mask: BoolArray, pixels: float) -> BoolArray:
    """Dilate ``mask`` (H, W) to all pixels whose centres are at most ``pixels`` away from one in it."""
    if not mask.any():
        return mask.copy()
    return np.asarray(ndimage.distance_transform_edt(~mask) <= pixels, dtype=bool)


def margin(mask: BoolArray) -> int:
    """Width of dilation and feathering of a mask: a twelfth of its longer side, at least 2 pixels. Our choice."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return max(2, round((max(np.ptp(rows), np.ptp(columns)) + 1) / 12))


def feather(mask: BoolArray, width: float) -> FloatArray:
    """(H, W) weights: 0 outside ``mask``, rising smoothly to 1 over ``width`` pixels from its rim inwards.

    The edge of the image does not count as a rim.
    """
    if mask.all():
        return np.ones(mask.shape, dtype=np.float32)
    depth = np.clip(ndimage.distance_transform_edt(mask) / (width + 1.0), 0.0, 1.0)
    return np.asarray(depth * depth * (3.0 - 2.0 * depth), dtype=np.float32)


def touched_area(region: PartRegion, regions: Sequence[PartRegion]) -> BoolArray:
    """The mask of the region, dilated by its margin, but not into other parts (H, W).

    It may extend into parts of the same person to which it is attached, because the seam is hidden there.
    """
    area = grow(region.mask, margin(region.mask))
    for other in regions:
        same = other.person == region.person and other.part == region.part and other.side == region.side
        joined = other.person == region.person and {other.part, region.part} in _NEIGHBOURS
        if not (same or joined):
            area &= ~(other.mask & ~region.mask)
    return area


@dataclass(frozen=True, kw_only=True)
class InpaintTask:
    """An inpainting task."""

    photo: ByteArray
    """(H, W, 3)."""
    area: BoolArray
    """(H, W) True where the rejected side is regenerated."""
    prompt: str
    negative: str
    strength: float
    seed: int
    seam: Seam = "feather"
    context: float = CONTEXT
    chosen_control: Mapping[str, ByteArray] | None = None
    """Maps (h, w, 3) of the correct part; the ring of the chosen side uses them."""
    rejected_control: Mapping[str, ByteArray] | None = None
    """Maps (h, w, 3) of the broken part."""

    def __post_init__(self) -> None:
        """Refuse an unknown seam (``UnknownNameError``) and a window smaller than the mask (``InputError``)."""
        if self.seam not in SEAMS:
            raise UnknownNameError("seam", self.seam, SEAMS)
        if not self.context >= 1:
            raise InputError(f"context must be at least 1, not {self.context}")


Sides = tuple[ByteArray, ByteArray]
"""Chosen and rejected."""


def inpaint_both(
    task: InpaintTask, inpainter: Inpainter, window: Window
) -> Generator[PaintRequest, ByteArray, tuple[ByteArray, ByteArray, BoolArray]]:
    """Both sides of a pair, and the area in which they differ from the photograph.

    The area of the rejected side is inpainted. The chosen side goes through the same crop, encoder, decoder and paste
    without inpainting, so that traces of resampling and of the model do not reveal the side. Outside the area both are
    bit-identical to the photograph. A ring is inpainted on both sides with one seed.
    """
    before = window.cut(task.photo)
    chosen = inpainter.roundtrip(before)
    rejected = yield PaintRequest(
        image=before,
        mask=window.cut_mask(task.area),
        prompt=task.prompt,
        seed=task.seed,
        strength=task.strength,
        control=task.rejected_control,
        negative=task.negative,
    )
    area, width = task.area, margin(task.area)
    if task.seam == "ring":
        band = grow(area, width) & grow(~area, width)
        chosen, rejected = yield from _ring(task, window, (chosen, rejected), band)
        area = area | band
        width = max(1, width // 2)
    weights = feather(area, width)
    return _paste(task.photo, chosen, window, weights), _paste(task.photo, rejected, window, weights), area


def _ring(
    task: InpaintTask, window: Window, sides: Sides, band: BoolArray
) -> Generator[PaintRequest, ByteArray, Sides]:
    """Both sides (h, w, 3) with the band inpainted with one seed, the rejected area on top of the chosen side."""
    chosen, rejected = sides
    joined = np.where(window.cut_mask(task.area)[..., None], rejected, chosen).astype(np.uint8)
    ring, seed = window.cut_mask(band), derive(task.seed, "ring")
    if not ring.any():
        return chosen, joined
    request = PaintRequest(
        image=chosen, mask=ring, prompt=RING_PROMPT, seed=seed, strength=RING_STRENGTH, control=task.chosen_control
    )
    chosen = yield request
    rejected = yield replace(request, image=joined, control=task.rejected_control)
    return chosen, rejected


def _paste(photo: ByteArray, side: ByteArray, window: Window, weights: FloatArray) -> ByteArray:
    return mix(photo, window.paste(side, photo), weights)


def mix(photo: ByteArray, side: ByteArray, weights: FloatArray) -> ByteArray:
    """``photo`` where ``weights`` (H, W) are 0 (bit-identical), ``side`` where they are 1, and a mixture in between."""
    mixed = photo + (side.astype(np.float32) - photo) * weights[..., None]
    out = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    out[weights == 0] = photo[weights == 0]
    return out
