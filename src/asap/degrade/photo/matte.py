"""Soft mattes from masks: the coverage of each pixel by a part, and the colour of the part without the background."""

import numpy as np
from scipy import ndimage

from asap.core.records import BoolArray, Floats
from asap.degrade.photo.sampling import block_mean, enlarge

_CONTRAST = 18.0
"""Grey levels between part and background from which the image counts more than the mask."""


def cover(image: Floats, mask: BoolArray, band: float) -> Floats:
    """(H, W) coverage of each pixel by the part, in [0, 1].

    Within ``band`` pixels of the rim of the mask, the image decides: each pixel is read as a mixture of the colours of
    the part and of the nearby background. Where the two look alike, the rim of the mask is kept and softened.
    """
    inward = ndimage.distance_transform_edt(mask)
    outward = ndimage.distance_transform_edt(~mask)
    own = np.asarray(ndimage.gaussian_filter(mask.astype(np.float32), 0.8), dtype=np.float32)
    unsure = (inward <= band) & (outward <= band)
    front = _near(image, (inward > band) | ((inward > 0.6 * inward.max()) & mask), band)
    back = _near(image, outward > band, band)
    across = front - back
    contrast = (across**2).sum(axis=2)
    share = ((image - back) * across).sum(axis=2) / (contrast + 1)
    share = np.clip((share - 0.1) / 0.8, 0, 1)
    trust = contrast / (contrast + 3 * _CONTRAST**2)
    mixed = np.where(unsure, trust * share + (1 - trust) * own, own)
    return _tidy(mixed.astype(np.float32), mask & (inward > band))


def _near(image: Floats, sure: BoolArray, band: float) -> Floats:
    """Mean colour of the ``sure`` pixels near each pixel. It is smooth, so it is computed on a small copy."""
    if not sure.any():
        return image
    scale = max(1, int(band / 1.5))
    weight = np.where(sure, 1.0, 1e-7).astype(np.float32)[:, :, None]
    both = block_mean(np.concatenate([image * weight, weight], axis=2), scale)
    sigma = 1.2 * band / scale
    both = ndimage.gaussian_filter(both, (sigma, sigma, 0), truncate=3)
    small = both[:, :, :3] / np.maximum(both[:, :, 3:], 1e-12)
    return enlarge(small, scale, image.shape[:2])


def _tidy(share: Floats, sure: BoolArray) -> Floats:
    """Remove islands that do not touch the sure interior of the part, and pinholes."""
    labels, count = ndimage.label(share > 0.5)
    if count and sure.any():
        kept = np.zeros(count + 1, dtype=bool)
        kept[np.unique(labels[sure & (labels > 0)])] = True
        kept[0] = True
        near = ndimage.binary_dilation((labels > 0) & kept[labels], iterations=2)
        share = np.where(near, share, 0)
    full = ndimage.binary_closing(share > 0.6, iterations=2)
    share = np.where(full & (ndimage.minimum_filter(share, size=5) < 0.5), np.maximum(share, full * 0.9), share)
    return np.asarray(share, dtype=np.float32)


def unmixed(image: Floats, share: Floats) -> Floats:
    """``image`` with the colour of the part extended beyond its soft rim, so that no background shows."""
    whole = share > 0.97
    if not whole.any():
        return image
    gap, (rows, columns) = ndimage.distance_transform_edt(~whole, return_indices=True)
    spread = image[rows, columns]
    smooth = ndimage.gaussian_filter(spread, (1.0, 1.0, 0))
    rim = (gap > 0)[:, :, None]
    return np.asarray(np.where(rim, smooth, image), dtype=np.float32)
