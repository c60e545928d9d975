"""Which part of each pair is trained on: a crop of its images to one of several shapes, and a window of the crop.

Images are cropped once, before encoding. A window is cut from the latents at every visit, the same for both sides and
always at the same place; it contains the whole mask, as central as possible. Sizes are (height, width) in pixels of the
model's scale, frames (top, left, height, width), boxes (x0, y0, x1, y1) with exclusive ends.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from asap.backbones import Backbone
from asap.core.errors import ConfigError, InputError
from asap.stores.pairs import PairStore
from asap.tensors.crops import Box, Frame, bucket_sizes, crop_around, start_of
from asap.tensors.masks import touched_cells

__all__ = ["Crop", "CropSettings", "Cropper", "crops_of", "groups_of"]

STEPS: Final = 8
"""Windows have sides of whole eighths of the image's, so that pairs of like masks share a size."""


@dataclass(frozen=True, kw_only=True)
class CropSettings:
    """How images are cropped."""

    buckets: bool = False
    """Cut images to one of several shapes of about the model's area, whichever cuts least; else to the square."""
    window: float = 1.0
    """Least share of the image's sides that a window around the mask has; 1: the whole image."""

    @property
    def plain(self) -> bool:
        """Whether every pair is cropped to a square and used whole."""
        return not self.buckets and self.window >= 1


@dataclass(frozen=True, kw_only=True)
class Crop:
    """The part of one pair that is trained on."""

    frame: Frame
    """Of the stored images, in their own pixels."""
    size: tuple[int, int]
    """Height and width to which the frame is scaled."""
    window: Frame
    """Part of the scaled frame."""


class Cropper:
    """Crops pairs to the shapes of one model."""

    def __init__(self, backbone: Backbone, settings: CropSettings) -> None:
        """Find the shapes that the model supports.

        Raises:
            ConfigError: windows of a model whose images have one size.
        """
        self.backbone, self.settings = backbone, settings
        square = (backbone.resolution, backbone.resolution)
        self.sizes = [square]
        if settings.buckets:
            self.sizes = [size for size in bucket_sizes(backbone.resolution, backbone.cell) if self._takes(size)]
        if settings.window < 1 and backbone.cell >= backbone.resolution:
            raise ConfigError(f"{backbone.name} has images of one size, so no window can be cut; leave window at 1")

    def _takes(self, size: tuple[int, int]) -> bool:
        try:
            self.backbone.latent_size(*size)
        except InputError:
            return False
        return True

    def crop(self, uid: str, height: int, width: int, box: Box) -> Crop:
        """The crop of a pair.

        Args:
            uid: for messages.
            height: of its images.
            width: of its images.
            box: of its mask; empty (x1 <= x0) where it has none.

        Raises:
            InputError: the images are too small, or every crop would cut the mask.
        """
        empty, whole = box[2] <= box[0], box == (0, 0, width, height)  # a mask that is everywhere marks no place
        place = None if empty or whole else box
        large = [size for size in self.sizes if _covers(height, width, size)]
        if not large:
            least = self.backbone.resolution
            raise InputError(
                f"pair {uid} is {height}x{width}; {self.backbone.name} needs images of at least {least} on each side"
                f"{' or as many pixels in another shape' if self.settings.buckets else ''}; "
                "build the pairs with a larger --size"
            )
        crops, faults = [], []
        for size in large:
            try:
                crops.append((crop_around(height, width, size, place), size))
            except InputError as error:
                faults.append(error)
        if not crops:
            raise InputError(f"pair {uid}: {faults[0]}, and its mask may not be cut; crop the pair yourself")
        frame, size = max(crops, key=lambda found: found[0][2] * found[0][3])
        return Crop(frame=frame, size=size, window=self._window(frame, size, None if empty else box))

    def _window(self, frame: Frame, size: tuple[int, int], box: Box | None) -> Frame:
        """Whole tokens that hold every latent cell of the mask."""
        if self.settings.window >= 1:
            return (0, 0, *size)
        cell, (_, *cells) = self.backbone.cell, self.backbone.latent_size(*size)
        spans, tokens = [], [side // cell for side in size]
        for axis in (0, 1):
            low, high = (box[1 - axis] - frame[axis], box[3 - axis] - frame[axis]) if box else (0, 0)
            length, many = frame[2 + axis], cells[axis] // tokens[axis]
            first, end = touched_cells(max(low, 0), min(high, length), length, cells[axis])
            middle = tokens[axis] // 2
            spans.append((first // many, -(-end // many)) if box else (middle, middle))
        wanted = [math.ceil(self.settings.window * STEPS)]
        wanted += [-(-(end - first) * STEPS // side) for (first, end), side in zip(spans, tokens, strict=True)]
        sides = [-(-side * max(wanted) // STEPS) for side in tokens]
        top, left = (start_of(*span, side, all_) for span, side, all_ in zip(spans, sides, tokens, strict=True))
        return top * cell, left * cell, sides[0] * cell, sides[1] * cell


def _covers(height: int, width: int, size: tuple[int, int]) -> bool:
    """Whether a crop to this shape need not be enlarged."""
    return height >= size[0] and width >= size[1]


def crops_of(store: PairStore, positions: Sequence[int], cropper: Cropper) -> tuple[dict[int, Crop], tuple[str, ...]]:
    """The crops of the rows at ``positions`` that can be trained on, and why each of the others cannot.

    Sizes and boxes are read from the store's columns, so that thousands of rows are checked in a second, before any is
    encoded.

    Args:
        store: the pairs.
        positions: rows of ``store``.
        cropper: of the model.
    """
    uids, heights, widths, boxes, kinds = store.columns("uid", "height", "width", "box", "kind").values()
    found: dict[int, Crop] = {}
    faults: list[str] = []
    for row in positions:
        x0, y0, x1, y1 = boxes[row]
        try:
            if kinds[row] == "defect" and x1 <= x0:
                raise InputError(
                    f"pair {uids[row]} has an empty mask, so nothing says where its sides differ; give it one, or fill "
                    "it to train on the whole image"
                )
            found[row] = cropper.crop(uids[row], heights[row], widths[row], (x0, y0, x1, y1))
        except InputError as error:
            faults.append(str(error))
    return found, tuple(faults)


def groups_of(crops: Sequence[Crop]) -> list[list[int]]:
    """Indices of the crops of each size, which can form a batch, in the order of sizes."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, crop in enumerate(crops):
        groups.setdefault((*crop.size, *crop.window[2:]), []).append(index)
    return [groups[key] for key in sorted(groups)]
