"""Images as tensors: bytes (B, H, W, 3) in stores, signed floats (B, 3, H, W) in [-1, 1] in models."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asap.core.errors import InputError

__all__ = ["to_bytes", "to_signed"]

HALF = 127.5
"""Half the range of a byte: value v of a byte is v / HALF - 1 as a signed float."""


def to_signed(values: npt.NDArray[np.uint8] | Tensor) -> Tensor:
    """Convert bytes (B, H, W, 3) to floats (B, 3, H, W) in [-1, 1]; ``to_bytes`` inverts this exactly.

    Raises:
        InputError: the input is not uint8 or not (B, H, W, 3).
    """
    values = torch.from_numpy(np.ascontiguousarray(values)) if isinstance(values, np.ndarray) else values
    if values.dtype != torch.uint8 or values.ndim != 4 or values.shape[-1] != 3:
        raise InputError(f"images must be uint8 (B, H, W, 3), got {values.dtype} {tuple(values.shape)}")
    return (values.permute(0, 3, 1, 2).to(torch.float32) / HALF - 1.0).contiguous()


def to_bytes(values: Tensor) -> npt.NDArray[np.uint8]:
    """Floats (B, 3, H, W), clipped to [-1, 1], as bytes (B, H, W, 3), rounded to the nearest.

    Raises:
        InputError: the input is not (B, 3, H, W).
    """
    if values.ndim != 4 or values.shape[1] != 3:
        raise InputError(f"images must be (B, 3, H, W), got {tuple(values.shape)}")
    scaled = ((values.detach().to(torch.float32).clamp(-1.0, 1.0) + 1.0) * HALF).round()
    array: npt.NDArray[np.uint8] = scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return array
