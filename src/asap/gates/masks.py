"""The mask of a pair: the difference of its sides, slightly dilated, so that training weights the change only."""

import numpy as np
from scipy import ndimage

from asap.core.errors import InputError
from asap.core.pairs import box_of
from asap.core.records import BoolArray, ByteArray

_CROSS = ndimage.generate_binary_structure(2, 1)
_BLOCK = ndimage.generate_binary_structure(2, 2)
_SPECK = 6 / 128**2
"""Share of the image below which a patch of difference counts as a speck: 6 pixels at 128."""


def check_images(chosen: ByteArray, rejected: ByteArray) -> None:
    """Refuse images that are not two (H, W, 3) uint8 arrays of one size."""
    for name, image in (("chosen", chosen), ("rejected", rejected)):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise InputError(f"{name} must be a (H, W, 3) uint8 image, not {image.shape} {image.dtype}")
    if chosen.shape != rejected.shape:
        raise InputError(f"chosen {chosen.shape} and rejected {rejected.shape} must have the same size")


def _check_mask(image: ByteArray, mask: ByteArray) -> None:
    if mask.shape != image.shape[:2]:
        raise InputError(f"the mask is {mask.shape}, the images are {image.shape[:2]}; give them one size")


def difference(first: ByteArray, second: ByteArray) -> ByteArray:
    """(H, W) largest absolute difference of a channel, in grey levels."""
    gap = np.maximum(first, second) - np.minimum(first, second)
    return np.asarray(np.maximum(np.maximum(gap[:, :, 0], gap[:, :, 1]), gap[:, :, 2]))


def bounding_window(inside: ByteArray | BoolArray, margin: int) -> tuple[slice, slice]:
    """Rows and columns of the box of ``inside`` (H, W), extended by ``margin`` within the image."""
    x0, y0, x1, y1 = box_of(inside)
    height, width = inside.shape
    return (
        slice(max(0, y0 - margin), min(height, y1 + margin)),
        slice(max(0, x0 - margin), min(width, x1 + margin)),
    )


def grow(inside: BoolArray, pixels: int) -> BoolArray:
    """Dilate ``inside`` (H, W) by about ``pixels`` in every direction (an octagon: cross and block in turn)."""
    out = np.array(inside, dtype=bool)
    window = bounding_window(out, pixels)  # only this window can be reached, and a region is small in a large image
    grown = out[window]
    for step in range(pixels):
        grown = ndimage.binary_dilation(grown, _CROSS if step % 2 == 0 else _BLOCK)
    out[window] = grown
    return out


def _without_specks(differs: BoolArray) -> BoolArray:
    labels, count = ndimage.label(differs, _BLOCK)
    if count == 0:
        return differs
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= max(2, _SPECK * differs.size))[labels], dtype=bool)


def mask_margin(shape: tuple[int, ...], *, photograph: bool = False) -> int:
    """Pixels by which ``difference_mask`` grows the mask of an image of ``shape`` (H, W, ...).

    1/48 of the longer side and at least 2 for renderings; 1/200 and at least 3 for photographs, which are larger.
    """
    longest = max(shape[:2])
    return max(3, round(longest / 200)) if photograph else max(2, round(longest / 48))


def difference_mask(chosen: ByteArray, rejected: ByteArray, dilate: int, *, tolerance: int = 8) -> ByteArray:
    """(H, W) 255 where the images differ visibly, with small holes closed, dilated by ``dilate`` pixels.

    The symbol M of arXiv:2605.25759. Differences up to ``tolerance`` (of 255, in every channel) and specks of a few
    pixels are ignored: they are faint shadows and shading far from the defect, which training should not weight.
    ``share_outside`` then makes both images bit-identical outside the mask. At 128 pixels, a ``dilate`` of 3 keeps the
    7x7 windows of SSIM outside free of the change. Equal images give an empty mask. With 0 for both parameters the mask
    is the exact difference.

    Raises:
        InputError: shapes or types do not fit, or a parameter is out of range.
    """
    check_images(chosen, rejected)
    if dilate < 0 or not 0 <= tolerance < 255:
        raise InputError(f"dilate must be 0 or more, tolerance from 0 to 254; got {dilate} and {tolerance}")
    differs = difference(chosen, rejected) > tolerance
    if tolerance:
        differs = _without_specks(differs)
    if dilate == 0 or not differs.any():
        return np.where(differs, np.uint8(255), np.uint8(0))
    grown = grow(differs, dilate + 1)
    # one erosion closes gaps of two pixels without moving the rim; the difference itself must stay inside
    closed = ndimage.binary_erosion(grown, _CROSS, border_value=1) | grow(differs, dilate)
    return np.where(closed, np.uint8(255), np.uint8(0))


def share_outside(chosen: ByteArray, rejected: ByteArray, mask: ByteArray) -> tuple[ByteArray, ByteArray]:
    """Both images with the same pixels outside ``mask`` (H, W): the mean of the two.

    Outside a mask with a tolerance, the images still differ faintly. If one of them were used for both, the other would
    have a step of up to that tolerance along the rim, and a model could tell the sides apart by it. With the mean, both
    have the same step of half the height.

    Raises:
        InputError: shapes or types do not fit.
    """
    check_images(chosen, rejected)
    _check_mask(chosen, mask)
    mean = ((chosen.astype(np.uint16) + rejected + 1) // 2).astype(np.uint8)
    inside = (mask > 0)[:, :, None]
    return np.where(inside, chosen, mean), np.where(inside, rejected, mean)
