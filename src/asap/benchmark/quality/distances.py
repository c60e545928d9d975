"""FID (Heusel et al. 2017) and KID (Binkowski et al. 2018) in Inception features, from a TorchScript file.

The file is NVIDIA's ``inception-2015-12-05.pt``, the network of the original FID; ``frechet.frechet`` makes FID of its
features. Legend: N and M images, D features.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from asap.core.errors import InputError, StoreError
from asap.core.records import ByteArray

__all__ = ["INCEPTION", "InceptionFeatures", "kid"]

INCEPTION: Final = "inception-2015-12-05.pt"

Matrix = npt.NDArray[np.float64]


class InceptionFeatures:
    """Images to features (N, D)."""

    def __init__(self, path: Path, device: str = "cpu") -> None:
        """Raises ``StoreError`` if ``path`` is no TorchScript module."""
        try:
            network = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
            self._network = network.eval()
        except (OSError, RuntimeError, ValueError) as error:
            raise StoreError(f"{path} is no TorchScript module; put inception-2015-12-05.pt there") from error
        self._device = device

    @torch.inference_mode()
    def __call__(self, images: Sequence[ByteArray], batch: int = 16) -> Matrix:
        """Features of images (H, W, 3); the network resizes them itself, those of one size together."""
        rows = []
        for start in range(0, len(images), batch):
            for _, group in itertools.groupby(images[start : start + batch], key=np.shape):
                stack = torch.from_numpy(np.stack(list(group))).permute(0, 3, 1, 2).to(self._device)
                rows.append(self._network(stack, return_features=True).double().cpu().numpy())
        return np.concatenate(rows) if rows else np.zeros((0, 0))


def kid(first: Matrix, second: Matrix) -> float:
    """Unbiased squared maximum mean discrepancy under the kernel (x.y / D + 1)**3; about 0 for equal sets.

    Raises:
        InputError: a set has fewer than two rows, or widths differ.
    """
    n, m = len(first), len(second)
    if n < 2 or m < 2 or first.shape[1] != second.shape[1]:
        raise InputError(f"KID needs two sets (N >= 2, D) of one width, got {first.shape}, {second.shape}")

    def kernel(a: Matrix, b: Matrix) -> Matrix:
        return np.asarray((a @ b.T / a.shape[1] + 1) ** 3)

    own, other = kernel(first, first), kernel(second, second)
    within = (own.sum() - np.trace(own)) / (n * (n - 1)) + (other.sum() - np.trace(other)) / (m * (m - 1))
    return float(within - 2 * kernel(first, second).mean())
