"""Convert latents to the tokens of a transformer that packs 2x2 cells into one, and back.

Legend: B latents of C channels on h x w cells, h and w even; N = (h/2) * (w/2) tokens, row by row. A token lists its
channels one after the other, each as its four cells row by row, as FLUX.1, FLUX.2 and Qwen-Image do.
"""

import torch.nn.functional as F
from torch import Tensor

from asap.core.errors import InputError

__all__ = ["pack", "unpack"]


def pack(latents: Tensor) -> Tensor:
    """(B, C, h, w) as tokens (B, N, 4 * C).

    Raises:
        InputError: h or w is odd.
    """
    if latents.shape[-2] % 2 or latents.shape[-1] % 2:
        raise InputError(f"latents must have an even height and width to be packed, got {tuple(latents.shape)}")
    return F.pixel_unshuffle(latents, 2).flatten(2).transpose(1, 2)


def unpack(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """Tokens (B, N, 4 * C) as latents (B, C, h, w) for ``size`` = (h, w); undoes ``pack``."""
    count, _, width = tokens.shape
    cells = tokens.transpose(1, 2).reshape(count, width, size[0] // 2, size[1] // 2)
    return F.pixel_shuffle(cells, 2)
