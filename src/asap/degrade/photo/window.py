"""A window of a photograph around one part: its pixels, its keypoints and its coverage."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from scipy import ndimage

from asap.core.errors import InputError
from asap.core.photos import EditedPhoto, PartRegion
from asap.core.records import BoolArray, ByteArray, Edit, Floats
from asap.degrade.photo.compositor import MARGIN, Compositor, Layer, difference
from asap.degrade.photo.matte import cover, unmixed
from asap.degrade.photo.sampling import linear

MIN_PART_SIDE = 24
"""Smallest shorter side of a part in pixels at which a viewer can see a fault."""


class Window:
    """A window around ``region``; arrays are (h, w, ...) float32 with colours from 0 to 255."""

    def __init__(
        self,
        image: ByteArray,
        region: PartRegion,
        rng: np.random.Generator,
        *,
        also: Sequence[PartRegion] = (),
        margin: float = 0.6,
    ) -> None:
        """Cut the window: the box of the part and those of ``also``, extended by ``margin`` times the longer side.

        Raises:
            InputError: the image or the mask has the wrong shape, or the part is too small.
        """
        _check(image, region)
        self.whole, self.region = image, region
        boxes = np.array([region.box, *(r.box for r in also)])
        (x0, y0), (x1, y1) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
        grown = int(margin * max(region.box[2] - region.box[0], region.box[3] - region.box[1])) + 8
        height, width = region.mask.shape
        self.corner = np.array([max(0, x0 - grown), max(0, y0 - grown)])
        self.rows = slice(int(self.corner[1]), int(min(height, y1 + grown)))
        self.columns = slice(int(self.corner[0]), int(min(width, x1 + grown)))
        self.image: Floats = image[self.rows, self.columns].astype(np.float32)
        self.shape: tuple[int, int] = (self.image.shape[0], self.image.shape[1])
        self.mask: BoolArray = self.crop(region.mask).copy()
        for other in also:
            self.mask |= self.crop(other.mask)
        if also:
            # masks of neighbouring parts often leave a gap
            gap = int(0.03 * np.sqrt(self.mask.sum())) + 2
            self.mask = np.asarray(ndimage.binary_closing(np.pad(self.mask, gap), iterations=gap)[gap:-gap, gap:-gap])
        self._trace = int(rng.integers(2**31))

    def crop(self, values: BoolArray) -> BoolArray:
        """The window of an (H, W) array of the whole image."""
        return np.asarray(values[self.rows, self.columns])

    def point(self, name: str) -> Floats | None:
        """(2,) keypoint ``name`` in window pixels, or None if it is not known."""
        found = self.region.point(name)
        return None if found is None else np.asarray(found - self.corner, dtype=np.float32)

    def points(self, names: Sequence[str]) -> Floats:
        """(K, 2) keypoints in window pixels.

        Raises:
            InputError: one of them is not known.
        """
        found = [self.point(name) for name in names]
        missing = [name for name, point in zip(names, found, strict=True) if point is None]
        if missing:
            raise InputError(f"the {self.region.part} has no keypoint {missing[0]}; choose another operation")
        return np.stack([point for point in found if point is not None])

    @cached_property
    def size(self) -> float:
        """Square root of the area of the part in pixels."""
        return float(np.sqrt(self.mask.sum()))

    @cached_property
    def share(self) -> Floats:
        """(h, w) coverage of each pixel by the part."""
        band = float(np.clip(0.02 * self.size, 2, 8))
        reach = int(6 * band) + 4
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        cut = (
            slice(max(0, int(rows[0]) - reach), int(rows[-1]) + reach),
            slice(max(0, int(columns[0]) - reach), int(columns[-1]) + reach),
        )
        out = np.zeros(self.shape, dtype=np.float32)
        out[cut] = cover(self.image[cut], self.mask[cut], band)
        return out

    @cached_property
    def colour(self) -> Floats:
        """(h, w, 3) colour of the part, extended beyond its rim."""
        return unmixed(self.image, self.share)

    def finish(
        self, layers: Sequence[Layer], edit: Edit, *, plate: Floats | None = None, hole: BoolArray | None = None
    ) -> EditedPhoto:
        """Both sides of the pair: ``plate`` where ``hole`` is True, then ``layers``, the last one on top."""
        touched = np.zeros(self.shape, dtype=bool) if hole is None else ndimage.binary_dilation(hole)
        for layer in layers:
            touched[layer.where] |= layer.share > 0.004
        rows, columns = self._bounds(layers, touched)
        easel = Compositor(self.image, self.colour, (rows, columns), touched, self._trace)
        if plate is not None and hole is not None:
            easel.under(plate, hole)
        for layer in layers:
            easel.paint(layer)
        chosen, rejected = self.whole.copy(), self.whole.copy()
        place = (_shift(rows, self.rows), _shift(columns, self.columns))
        chosen[place], rejected[place] = easel.sides()
        mask = np.zeros(self.whole.shape[:2], dtype=np.uint8)
        mask[place] = np.where(difference(chosen[place], rejected[place]), np.uint8(255), np.uint8(0))
        # faint differences outside the mask are averaged, otherwise one side would have a step along the rim
        mean = ((chosen.astype(np.uint16) + rejected + 1) // 2).astype(np.uint8)
        chosen, rejected = (np.where(mask[:, :, None] > 0, side, mean) for side in (chosen, rejected))
        return EditedPhoto(chosen=chosen, rejected=rejected, mask=mask, edit=edit)

    def _bounds(self, layers: Sequence[Layer], touched: BoolArray) -> tuple[slice, slice]:
        """Rows and columns of everything that is touched or read, with margin for the trace to fade out."""
        ends = []
        for layer in layers:
            seen = layer.source[layer.share > 0.004]
            if len(seen):
                ends += [seen.min(axis=0), seen.max(axis=0)]
        places = np.argwhere(touched)[:, ::-1]
        if len(places):
            ends += [places.min(axis=0), places.max(axis=0)]
        if not ends:
            return slice(0, min(1, self.shape[0])), slice(0, min(1, self.shape[1]))
        low = np.maximum(np.floor(np.min(ends, axis=0)) - MARGIN, 0).astype(int)
        high = np.minimum(np.ceil(np.max(ends, axis=0)) + MARGIN, np.array(self.shape)[::-1]).astype(int)
        return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))

    def part_at(self, points: Floats) -> Floats:
        """(N,) coverage by the part at ``points`` (N, 2)."""
        return linear(self.share, points)


def _shift(part: slice, whole: slice) -> slice:
    return slice(whole.start + part.start, whole.start + part.stop)


def _check(image: ByteArray, region: PartRegion) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"a photograph must be (H, W, 3) uint8, not {image.shape} {image.dtype}")
    if region.mask.shape != image.shape[:2]:
        raise InputError(f"the mask is {region.mask.shape}, the image {image.shape[:2]}; give them one size")
    x0, y0, x1, y1 = region.box
    if min(x1 - x0, y1 - y0) < MIN_PART_SIDE or not region.mask.any():
        raise InputError(
            f"the {region.part} is {x1 - x0}x{y1 - y0} pixels; it needs at least {MIN_PART_SIDE} on each side"
        )
