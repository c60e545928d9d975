"""Two signs of damaged images: too much fine detail, and a grid at the borders of latent cells."""

import numpy as np
import numpy.typing as npt

__all__ = ["grid_energy", "high_frequency"]

LUMA = np.array([0.299, 0.587, 0.114])
"""Rec. 601 weights of red, green and blue."""


def _grey(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Brightness (B, H, W) in [0, 255] of images (B, H, W, 3)."""
    values: npt.NDArray[np.float64] = images.astype(np.float64) @ LUMA
    return values


def high_frequency(images: npt.NDArray[np.uint8]) -> float:
    """Share of the energy of the brightness above a quarter of a cycle per pixel (half of Nyquist), mean over images.

    The mean is removed and a Hann window applied, so that borders do not count. White noise has 1 - pi/16 = 0.80,
    natural images a few thousandths, and an image of one colour 0.

    Args:
        images: uint8 (B, H, W, 3).
    """
    grey = _grey(images)
    height, width = grey.shape[1:]
    window = np.hanning(height)[:, None] * np.hanning(width)[None, :]
    power = np.abs(np.fft.fft2((grey - grey.mean(axis=(1, 2), keepdims=True)) * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    total = power.sum(axis=(1, 2))
    share = (power * (radius > 0.25)).sum(axis=(1, 2)) / np.where(total > 0, total, 1)
    return float(share.mean())


def grid_energy(images: npt.NDArray[np.uint8], cell: int) -> float:
    """Mean step of brightness at the borders of cells relative to that inside cells; 1 without a grid.

    Mean over the horizontal and the vertical steps of all images; 1 for images of one colour.

    Args:
        images: uint8 (B, H, W, 3), H and W larger than ``cell``.
        cell: pixels of a cell's side, >= 2.
    """
    grey = _grey(images)
    border, inside = 0.0, 0.0
    for axis in (1, 2):
        steps = np.abs(np.diff(grey, axis=axis)).mean(axis=(0, 3 - axis))
        at_border = np.arange(1, len(steps) + 1) % cell == 0
        border += float(steps[at_border].mean())
        inside += float(steps[~at_border].mean())
    return border / inside if inside else 1.0 if not border else float("inf")
