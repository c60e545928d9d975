"""Pixel masks at latent resolution.

A finger is 4 to 8 pixels wide, so at 1/8 its mask vanishes under nearest or area sampling. Every latent cell that the
mask touches counts in full: max-pool over the cells first; only when the sizes do not divide is the rest an area mean
(paper.md, "Mathematics": max-pool, then area).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from asap.core.errors import InputError

__all__ = ["to_latent_mask", "touched_cells"]


def to_latent_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks (B, H, W), uint8 0/255, bool or float in [0, 1], as float32 (B, 1, h, w) in [0, 1] for ``size`` = (h, w).

    A single pixel anywhere gives a cell of 1 when H and W are multiples of h and w. Otherwise the mask is pooled to
    the smallest grid of whole cells that is at least (h, w), and averaged from there by area: the mask never vanishes,
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
    """First and end of the cells along one axis that ``to_latent_mask`` may mark for pixels [low, high) of ``length``.

    Where the sizes divide these are the cells that the pixels lie in. Else the pooled grid is averaged to the cells,
    and a cell is marked that shares any of a pooled one. (0, 0) for no pixels.
    """
    if low >= high:
        return 0, 0
    pixels = length // cells
    pooled = -(-length // pixels)
    return low // pixels * cells // pooled, -(-((high - 1) // pixels + 1) * cells // pooled)
