"""Frechet distance between sets of images in fixed features that no judge has trained (Heusel et al. 2017, Eq. 6).

Inception weights cannot be had offline and would not suit 128-pixel renders, so the features are plain: low-frequency
cosine coefficients of luma and chroma (layout, colour) and the log energy of bands of high ones (sharpness, texture).
They notice colour shifts, blur, noise and broken layouts; they know nothing of anatomy, so a model cannot gain on
this measure by pleasing the judge. The numbers compare models here, they are not FID.

Legend: N images, S pixels on a side, D = 62 features.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from asap.benchmark.intervals import Estimate, percentile_interval
from asap.core.errors import InputError

__all__ = ["FEATURES", "FrechetDistance", "cosine_features", "frechet", "frechet_difference"]

LUMA: Final = 6
CHROMA: Final = 3
BANDS: Final = 8
SMALL: Final = 32
FEATURES: Final = LUMA**2 + 2 * CHROMA**2 + BANDS
"""D: 36 of luma, 9 of each chroma, 8 bands."""
OPPONENT: Final = np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]])
FLOOR: Final = 1e-6
BAND_WEIGHT: Final = 0.1
"""Log energies vary by several units, cosine coefficients by tenths; this puts them on one scale."""

Matrix = npt.NDArray[np.float64]


@cache
def _basis(size: int) -> Matrix:
    """DCT-II matrix (size, size); row k is the k-th frequency; scaled so that a constant image keeps its value."""
    place = np.arange(size)
    rows = np.cos(np.pi * (2 * place[None] + 1) * place[:, None] / (2 * size)) * np.sqrt(2) / size
    rows[0] /= np.sqrt(2)
    return np.asarray(rows, dtype=np.float64)


@cache
def _bands(size: int) -> npt.NDArray[np.int64]:
    """(size * size,) which of BANDS logarithmic rings a frequency lies in; the lowest, used elsewhere, is BANDS."""
    radius = np.hypot(*np.mgrid[0:size, 0:size]) / size
    ring = np.floor(np.log2(np.maximum(radius, 2**-5) / 2**-4) * BANDS / 4.5)
    return np.where(radius < 2**-4, BANDS, np.clip(ring, 0, BANDS - 1)).astype(np.int64).ravel()


def cosine_features(images: npt.NDArray[np.uint8]) -> Matrix:
    """Features of images.

    Args:
        images: (N, S, S, 3) sRGB; S is a multiple of 32.

    Returns:
        (N, D) in about [-1, 1].

    Raises:
        InputError: another shape.
    """
    size = images.shape[1] if images.ndim == 4 else 0
    if images.ndim != 4 or images.shape[2] != size or images.shape[3] != 3 or not size or size % SMALL:
        raise InputError(f"features need images (N, S, S, 3) with S a multiple of {SMALL}, got {images.shape}")
    rows = [_features(image) for image in images]
    return np.stack(rows) if rows else np.zeros((0, FEATURES))


def _features(image: npt.NDArray[np.uint8]) -> Matrix:
    """(D,) features of one image (S, S, 3)."""
    size = image.shape[0]
    planes = np.einsum("ck,hwk->chw", OPPONENT, image / 255.0)
    step = size // SMALL
    small = planes.reshape(3, SMALL, step, SMALL, step).mean(axis=(2, 4))
    low = _basis(SMALL)
    coefficients = low @ small @ low.T
    full = _basis(size) @ planes[0] @ _basis(size).T
    energy = np.bincount(_bands(size), weights=(full**2).ravel(), minlength=BANDS + 1)[:BANDS]
    parts = [coefficients[0, :LUMA, :LUMA], *coefficients[1:, :CHROMA, :CHROMA], BAND_WEIGHT * np.log(energy + FLOOR)]
    return np.concatenate([part.ravel() for part in parts])


def frechet(first: Matrix, second: Matrix) -> float:
    """|mu1 - mu2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of two sets of features (N1, D) and (N2, D); at least 0.

    Raises:
        InputError: a set has fewer than two rows, or widths differ.
    """
    if len(first) < 2 or len(second) < 2 or first.shape[1] != second.shape[1]:
        raise InputError(f"Frechet distance needs two sets (N >= 2, D) of one width, got {first.shape}, {second.shape}")
    return _distance(first.mean(0), np.cov(first, rowvar=False), second.mean(0), np.cov(second, rowvar=False))


def _distance(mean1: Matrix, cov1: Matrix, mean2: Matrix, cov2: Matrix) -> float:
    """The formula. tr (C1 C2)^(1/2) is the sum of roots of the eigenvalues of C1^(1/2) C2 C1^(1/2), symmetric."""
    cov1, cov2 = np.atleast_2d(cov1), np.atleast_2d(cov2)
    values, vectors = np.linalg.eigh(cov1)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov2 @ root), 0)).sum()
    return max(0.0, float(((mean1 - mean2) ** 2).sum() + np.trace(cov1) + np.trace(cov2) - 2 * cross))


class FrechetDistance:
    """Frechet distance of images to a reference set; range [0, inf), lower is closer; biased upwards for small N."""

    higher_is_better = False

    def __init__(self, reference: Iterable[npt.NDArray[np.uint8]]) -> None:
        """Keep the features of the reference batches, each (N, S, S, 3)."""
        self.reference = np.concatenate([np.zeros((0, FEATURES)), *map(cosine_features, reference)])
        self.rows: list[Matrix] = []
        self.clusters: list[str] = []

    def update(self, images: npt.NDArray[np.uint8], clusters: Sequence[str]) -> None:
        """Add images (N, S, S, 3) and the prompts they came from."""
        if len(images) != len(clusters):
            raise InputError(f"one prompt per image is needed, got {len(images)} images, {len(clusters)} prompts")
        self.rows.append(cosine_features(images))
        self.clusters.extend(clusters)

    @property
    def features(self) -> Matrix:
        """(N, D) of all images so far."""
        return np.concatenate(self.rows) if self.rows else np.zeros((0, FEATURES))

    def compute(self) -> float:
        """The distance; raises ``InputError`` with fewer than two images."""
        return frechet(self.features, self.reference)


def frechet_difference(
    model: FrechetDistance, base: FrechetDistance, rng: np.random.Generator, resamples: int = 200
) -> Estimate:
    """Distance of the model less that of its base; the interval resamples whole prompts, the same for both.

    A bootstrap of the distance itself is biased, as resampled sets are less varied; in the difference of two sets of
    equal prompts this bias cancels to first order.

    Raises:
        InputError: the two did not see the same prompts in the same order.
    """
    if model.clusters != base.clusters or not model.clusters:
        raise InputError("the two models need the same prompts and seeds in the same order")
    ours, theirs, reference = model.features, base.features, model.reference
    value = frechet(ours, reference) - frechet(theirs, reference)
    names, index = np.unique(np.asarray(model.clusters), return_inverse=True)
    groups = [np.flatnonzero(index == cluster) for cluster in range(len(names))]
    changes = []
    for _ in range(resamples):
        pick = np.concatenate([groups[group] for group in rng.integers(len(groups), size=len(groups))])
        changes.append(frechet(ours[pick], reference) - frechet(theirs[pick], reference))
    low, high = percentile_interval(changes)
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=len(index))
