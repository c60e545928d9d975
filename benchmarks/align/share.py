"""The channels of the autoencoder with which encoding costs 0.7 of a denoiser forward, found by measuring.

Kernels like some widths better than others, so cost is no smooth function of the channels, and nothing is computed:
widths are tried. First the width of all levels, in proportion as in the real model, in steps of two; then, at the best
of them, the two deep levels alone, whose steps are finer. Every figure is the median of several in CPU seconds, taken
under the conditions of the peer's step: two pictures at once, no gradient, weights in diffusers' own layout.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from benchmarks.align.models import CAPTIONS, SIZES, Levels, autoencoder, build, embed

__all__ = ["SHARE", "Fit", "cpu_seconds", "fit", "work"]

SHARE: Final = 0.7
"""SDXL's at 1024x1024: about 4.3 of 6.0 TFLOP."""
WIDTHS: Final = range(10, 42, 2)
DEEP: Final = range(-20, 22, 2)
"""Channels that the two deep levels get more than four times the first."""
CLOSE: Final = 0.005
"""A share that near to the one wanted is good enough to stop."""
SMALL: Final[Levels] = (4, 8, 16, 16)


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


def fit(family: str, *, times: int = 5) -> Fit:
    """Try widths until the share is close; ``times`` calls stand behind each figure."""
    _, denoise = work(family, SMALL)
    forward = _median(denoise, 2 * times)
    tried: dict[Levels, float] = {}

    def nearest(candidates: Iterable[Levels]) -> Levels:
        """Go up the candidates until the share is well past the one wanted; the nearest of all that were tried."""
        for levels in candidates:
            if levels not in tried:
                tried[levels] = _encoding(family, levels, times) / forward
            if tried[levels] > SHARE * 1.15 or abs(tried[levels] - SHARE) < CLOSE:
                break
        return min(tried, key=lambda levels: abs(tried[levels] - SHARE))

    first = nearest((width, 2 * width, 4 * width, 4 * width) for width in WIDTHS)
    best = first
    if abs(tried[first] - SHARE) >= CLOSE:
        steps = DEEP[len(DEEP) // 2 :] if tried[first] < SHARE else DEEP[: len(DEEP) // 2]
        best = nearest((*first[:2], first[2] + step, first[3] + step) for step in steps)
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
