"""Masks at latent resolution.

A finger is 4 to 8 pixels wide, so at 1/8 its mask vanishes under nearest or area sampling. Every latent cell that the
mask touches therefore counts in full: max-pool over the cells, followed by an area mean only if the sizes do not
divide.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from asap.core.errors import InputError

__all__ = ["to_latent_mask", "touched_cells"]


def to_latent_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Convert masks (B, H, W) of uint8 0/255, bool or float in [0, 1] to float32 (B, 1, h, w) for ``size`` = (h, w).

    A single pixel gives a cell of 1 if H and W are multiples of h and w. Otherwise the mask is max-pooled to the
    smallest grid of whole cells that is at least (h, w), and averaged from there by area. The mask then never vanishes,
    but cells at its edge may lie between 0 and 1.

    Raises:
        InputError: the mask is not (B, H, W), is smaller than ``size``, or has values outside [0, 1].
    """
    if mask.ndim != 3:
        raise InputError(f"masks must be (B, H, W), got {tuple(mask.shape)}")
    height, width = size
    if mask.shape[1] < height or mask.shape[2] < width:
        raise InputError(f"a mask of {tuple(mask.shape[1:])} pixels is smaller than the {size} latent cells")
    values = mask.to(torch.float32) / 255.0 if mask.dtype == torch.uint8 else mask.to(torch.float32)
    if values.numel() and (values.min() < 0 or values.max() > 1):
        raise InputError("mask values must be uint8 0 to 255, bool, or floats in [0, 1]")
    cell = (mask.shape[1] // height, mask.shape[2] // width)
    pooled = F.max_pool2d(values[:, None], cell, ceil_mode=True)
    if pooled.shape[-2:] == size:
        return pooled
    return F.adaptive_avg_pool2d(pooled, size)


def touched_cells(low: int, high: int, length: int, cells: int) -> tuple[int, int]:
    """Start and end of the cells along one axis that ``to_latent_mask`` may mark for pixels [low, high) of ``length``.

    If the sizes divide, these are the cells that contain the pixels. Otherwise they are all cells that overlap a marked
    cell of the pooled grid. The result is (0, 0) for no pixels.
    """
    if low >= high:
        return 0, 0
    pixels = length // cells
    pooled = -(-length // pixels)
    return low // pixels * cells // pooled, -(-((high - 1) // pixels + 1) * cells // pooled)
