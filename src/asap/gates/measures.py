"""Measurements on a pair. SSIM follows Wang et al. 2004, with a uniform 7x7 window over the colour channels."""

from typing import Protocol

import numpy as np
from scipy import ndimage

from asap.core.errors import InputError
from asap.core.records import BoolArray, ByteArray, FloatArray
from asap.gates.masks import bounding_window, check_images, difference, grow

_WINDOW = 7
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_BAND = 3
"""Width of the band on either side of the rim of the mask, in pixels at 128."""


class Perceptual(Protocol):
    """A perceptual distance that the caller provides; its name and fingerprint belong into the manifest."""

    @property
    def name(self) -> str:
        """Name in a manifest."""

    @property
    def fingerprint(self) -> str:
        """Hash of its weights."""

    def __call__(self, first: ByteArray, second: ByteArray) -> FloatArray:
        """(H, W) distance of two (H, W, 3) uint8 images at each pixel, 0 where nothing differs."""


def _smooth(values: FloatArray) -> FloatArray:
    return np.asarray(ndimage.uniform_filter(values, size=(_WINDOW, _WINDOW, 1), mode="reflect"), dtype=np.float32)


def similarity_map(first: ByteArray, second: ByteArray) -> FloatArray:
    """(H, W) structural similarity in [-1, 1], mean over the three channels; 1 where the images are equal.

    Equals scikit-image's ``structural_similarity`` (uniform window of 7, sample covariance). Only windows that contain
    a difference are computed.
    """
    similar = np.ones(first.shape[:2], dtype=np.float32)
    differs = difference(first, second) > 0
    if differs.any():
        half = _WINDOW // 2
        seen, read = bounding_window(differs, half), bounding_window(differs, 2 * half)
        inner = tuple(slice(s.start - r.start, s.stop - r.start) for s, r in zip(seen, read, strict=True))
        similar[seen] = _similarity(first[read], second[read])[inner]
    return similar


def _similarity(first: ByteArray, second: ByteArray) -> FloatArray:
    """The map of a whole image; edges are mirrored."""
    # centred values keep float32 accurate: the variance is not the difference of two large numbers
    a, b = first.astype(np.float32) - 128, second.astype(np.float32) - 128
    mean_a, mean_b = _smooth(a), _smooth(b)
    sample = _WINDOW**2 / (_WINDOW**2 - 1)
    var_a = sample * (_smooth(a * a) - mean_a * mean_a)
    var_b = sample * (_smooth(b * b) - mean_b * mean_b)
    cov = sample * (_smooth(a * b) - mean_a * mean_b)
    mean_a, mean_b = mean_a + 128, mean_b + 128
    light = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    structure = (2 * cov + _C2) / (var_a + var_b + _C2)
    return np.asarray((light * structure).mean(axis=2), dtype=np.float32)


def measure(
    chosen: ByteArray,
    rejected: ByteArray,
    mask: ByteArray,
    *,
    touched_visible: BoolArray | None = None,
    perceptual: Perceptual | None = None,
) -> dict[str, float]:
    """Measure all values of the gates on a composed pair.

    Args:
        chosen: (H, W, 3) uint8.
        rejected: (H, W, 3) uint8, equal to ``chosen`` outside the mask.
        mask: (H, W) 255 inside.
        touched_visible: (H, W) True where a pixel of either image shows edited skin; None if unknown.
        perceptual: a perceptual distance, or None.

    Returns:
        ``region_ssim``: mean SSIM of the windows centred inside the mask (1 for an empty mask).
        ``background_ssim``: the same outside; windows next to the rim overlap the region.
        ``edge_ssim``: SSIM of the band around the rim of the mask, where a seam shows.
        ``max_abs_diff_outside``: largest absolute difference of a channel outside, 0 to 255.
        ``area_share``: masked share of the image, 0 to 1.
        ``contrast``: mean over the masked pixels of the largest channel difference, over 255.
        ``changed_share``: share of the masked pixels that changed clearly (by more than 12 of 255).
        ``visible_share``: share of the image that shows edited skin, or the changed area if that is unknown.
        ``region_lpips``, ``background_lpips``: mean perceptual distance inside and outside the mask, 0 if there is no
        such pixel; only with ``perceptual``.

    Raises:
        InputError: shapes or types do not fit.
    """
    check_images(chosen, rejected)
    inside = mask > 0
    gap = difference(chosen, rejected)
    similar = similarity_map(chosen, rejected)
    outside = similar[~inside]
    band = _band(inside)
    distances = {} if perceptual is None else _distances(perceptual, chosen, rejected, inside)
    return distances | {
        "region_ssim": float(similar[inside].mean()) if inside.any() else 1.0,
        "background_ssim": float(outside.mean()) if outside.size else 1.0,
        "edge_ssim": float(similar[band].mean()) if band.any() else 1.0,
        "max_abs_diff_outside": float(gap[~inside].max()) if not inside.all() else 0.0,
        "area_share": float(inside.mean()),
        "contrast": float(gap[inside].mean()) / 255 if inside.any() else 0.0,
        "changed_share": float((gap[inside] > 12).mean()) if inside.any() else 0.0,
        "visible_share": float((gap > 12).mean() if touched_visible is None else touched_visible.mean()),
    }


def _distances(perceptual: Perceptual, chosen: ByteArray, rejected: ByteArray, inside: BoolArray) -> dict[str, float]:
    found = perceptual(chosen, rejected)
    if found.shape != inside.shape or not np.isfinite(found).all():
        raise InputError(f"{perceptual.name} must give finite distances {inside.shape}, not {found.shape}")
    return {
        "region_lpips": float(found[inside].mean()) if inside.any() else 0.0,
        "background_lpips": float(found[~inside].mean()) if not inside.all() else 0.0,
    }


def _band(inside: BoolArray) -> BoolArray:
    """The band just outside the rim of the mask, with the width ``_BAND`` at 128 pixels."""
    width = max(1, round(_BAND * min(inside.shape) / 128))
    return grow(inside, width) & ~inside
