"""The channels of the autoencoder with which encoding costs 0.7 of a denoiser forward, found by measuring.

All channels are multiples of 8, as the real ones are of 128: kernels fall to a slow path at others (a level of 18
channels cost twice one of 16). The levels may leave the real proportions 1 : 2 : 4 : 4 by up to a half, which makes
steps fine enough. Candidates are sorted by arithmetic, the place where the measured share crosses the one wanted is
halved out, and its neighbours are tried. Every figure is the median of several in CPU seconds, taken under the
conditions of the peer's step: two pictures at once, no gradient, weights in diffusers' own layout.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from benchmarks.align.models import CAPTIONS, SIZES, Levels, autoencoder, build, embed

__all__ = ["SHARE", "Fit", "candidates", "cpu_seconds", "fit", "multiplications", "work"]

SHARE: Final = 0.7
"""SDXL's at 1024x1024: about 4.3 of 6.0 TFLOP."""
AROUND: Final = 4
"""Neighbours on either side that are tried in the end."""
SMALL: Final[Levels] = (8, 16, 32, 32)


@dataclass(frozen=True)
class Fit:
    """What was found."""

    levels: Levels
    share: float
    tried: dict[str, float]
    """Share by channels of the levels, in the order they were tried."""


def cpu_seconds(run: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    run()
    return time.process_time() - start


def _median(run: Callable[[], object], times: int) -> float:
    run()
    return float(np.median([cpu_seconds(run) for _ in range(times)]))


def work(family: str, levels: Levels) -> tuple[Callable[[], object], Callable[[], object]]:
    """Encoding two pictures, and a denoiser forward of two, without gradient."""
    backbone, size = build(family, levels), SIZES[family]
    pictures, vae = torch.zeros(2, 3, size, size).uniform_(-1, 1), backbone.pipeline.vae
    latents = torch.zeros(2, *backbone.latent_size(size, size)).normal_()
    condition = embed(family, backbone, [CAPTIONS[0]]).repeat(2)

    def encode() -> object:
        with torch.no_grad():
            return vae.encode(pictures).latent_dist.sample()

    def denoise() -> object:
        with torch.no_grad():
            return backbone.denoise(latents, torch.tensor([0.5, 0.5]), condition)

    return encode, denoise


def multiplications(levels: Levels) -> float:
    """Of the encoder's convolutions, a pixel of the picture."""
    a, b, c, d = levels
    first = 27 * a + 36 * a * a + 9 * a * a / 4
    second = (10 * a * b + 27 * b * b) / 4 + 9 * b * b / 16
    third = (10 * b * c + 27 * c * c) / 16 + 9 * c * c / 64
    return first + second + third + (10 * c * d + 27 * d * d + 36 * d * d) / 64


def candidates() -> list[Levels]:
    """Channels that may be tried, by arithmetic."""
    found = [
        (a, b, c, c)
        for a in range(8, 41, 8)
        for b in range(8, 81, 8)
        for c in range(8, 161, 8)
        if a <= b <= 3 * a and 2 * a <= c <= 6 * a
    ]
    return sorted(found, key=multiplications)


def fit(family: str, *, times: int = 5) -> Fit:
    """Try candidates; ``times`` calls stand behind each figure."""
    _, denoise = work(family, SMALL)
    forward, tried = _median(denoise, 2 * times), dict[Levels, float]()
    known = candidates()

    def share(place: int) -> float:
        levels = known[place]
        if levels not in tried:
            tried[levels] = _encoding(family, levels, times) / forward
        return tried[levels]

    low, high = 0, len(known) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if share(middle) < SHARE else (low, middle)
    for place in range(max(low - AROUND, 0), min(low + AROUND + 1, len(known))):
        share(place)
    best = min(tried, key=lambda levels: abs(tried[levels] - SHARE))
    return Fit(best, tried[best], {"/".join(map(str, levels)): share for levels, share in tried.items()})


def _encoding(family: str, levels: Levels, times: int) -> float:
    """CPU seconds of encoding two pictures."""
    size = SIZES[family]
    vae = autoencoder(levels, 4 if family == "sdxl" else 16).eval().requires_grad_(False)
    pictures = torch.zeros(2, 3, size, size).uniform_(-1, 1)

    def encode() -> object:
        with torch.no_grad():
            return vae.encode(pictures).latent_dist.sample()

    return _median(encode, times)
