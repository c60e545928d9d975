"""The mask of a pair: all that differs, a little grown, so that a trainer weights the change and not its surroundings."""

import numpy as np
from scipy import ndimage

from asap.core.errors import InputError
from asap.core.records import BoolArray, ByteArray

_CROSS = ndimage.generate_binary_structure(2, 1)
_BLOCK = ndimage.generate_binary_structure(2, 2)


def check_images(chosen: ByteArray, rejected: ByteArray) -> None:
    """Refuse pictures that are not two (H, W, 3) uint8 arrays of one size."""
    for name, image in (("chosen", chosen), ("rejected", rejected)):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise InputError(f"{name} must be a (H, W, 3) uint8 picture, not {image.shape} {image.dtype}")
    if chosen.shape != rejected.shape:
        raise InputError(f"chosen {chosen.shape} and rejected {rejected.shape} must have the same size")


def grow(inside: BoolArray, pixels: int) -> BoolArray:
    """``inside`` (H, W) grown by about ``pixels`` in every direction (an octagon: cross and block by turns)."""
    grown = inside
    for step in range(pixels):
        grown = ndimage.binary_dilation(grown, _CROSS if step % 2 == 0 else _BLOCK)
    return np.asarray(grown, dtype=bool)


def difference_mask(chosen: ByteArray, rejected: ByteArray, dilate: int) -> ByteArray:
    """(H, W) 255 where the pictures differ at all, with gaps and small holes closed and grown by ``dilate`` pixels.

    Every pixel that differs is inside, so outside the mask the pictures are equal to the bit. Equal pictures give an
    empty mask. The symbol M of arXiv:2605.25759.

    Raises:
        InputError: shapes or types do not fit, or ``dilate`` is negative.
    """
    check_images(chosen, rejected)
    if dilate < 0:
        raise InputError(f"dilate must be 0 or more pixels, not {dilate}")
    differs = (chosen != rejected).any(axis=2)
    if not differs.any():
        return np.zeros(differs.shape, dtype=np.uint8)
    grown = grow(differs, dilate + 1)
    # one step back closes gaps of two pixels without moving the rim; what differs must stay inside
    closed = ndimage.binary_erosion(grown, _CROSS, border_value=1) | grow(differs, dilate)
    return np.where(closed, np.uint8(255), np.uint8(0))


def compose(chosen: ByteArray, rejected: ByteArray, mask: ByteArray) -> ByteArray:
    """The rejected picture with everything outside ``mask`` (H, W) taken from ``chosen``.

    Raises:
        InputError: shapes or types do not fit.
    """
    check_images(chosen, rejected)
    if mask.shape != chosen.shape[:2]:
        raise InputError(f"the mask is {mask.shape}, the pictures are {chosen.shape[:2]}; give them one size")
    return np.where((mask > 0)[:, :, None], rejected, chosen)
