"""The channels of the autoencoder with which encoding costs 0.7 of a denoiser forward, found by measuring.

All channels are multiples of 8, as the real ones are of 128: kernels fall to a slow path at others (a level of 18
channels cost twice one of 16). The levels may leave the real proportions 1 : 2 : 4 : 4 by up to a factor of two, which
makes steps fine enough: with half of that, and AVX-512, no channels lay between shares of 0.53 and 0.72. A share is the
median over pairs of calls, an encoding and a forward right after it: a machine that other work shares may become a
third faster or slower within minutes, and figures taken minutes apart then say nothing of each other. All of it runs in
the process of the rounds, after their steps have run once, under the conditions of the peer's step: two images at
once, no gradient, weights in diffusers' own layout. What fits is tried in whole rounds and corrected by what they show
(``Fit.corrected``).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from benchmarks.align.models import CAPTIONS, SIZES, Levels, build, embed, encoder

__all__ = ["SHARE", "START", "Fit", "Work", "candidates", "cpu_seconds", "multiplications"]

SHARE: Final = 0.7
"""SDXL's at 1024x1024: about 4.3 of 6.0 TFLOP."""
GUESSES: Final = 5
NEIGHBOURS: Final = 4
"""Likely channels that are tried at the end of the search and in a correction."""
START: Final[Levels] = (16, 32, 64, 64)


def cpu_seconds(run: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    run()
    return time.process_time() - start


class Work:
    """Encoding two images, and a denoiser forward of two, without gradient."""

    def __init__(self, family: str) -> None:
        """Build a denoiser of its own and the encoder to begin with."""
        self.family, size = family, SIZES[family]
        self.backbone = build(family, START)
        self.pictures = torch.zeros(2, 3, size, size).uniform_(-1, 1)
        self.latents = torch.zeros(2, *self.backbone.latent_size(size, size)).normal_()
        self.condition = embed(family, self.backbone, [CAPTIONS[0]]).repeat(2)

    def use(self, levels: Levels) -> None:
        """Encode with so many channels from now on."""
        self.backbone.pipeline.vae = encoder(self.family, levels)

    def encode(self) -> object:
        """Latents of both images."""
        with torch.no_grad():
            return self.backbone.pipeline.vae.encode(self.pictures).latent_dist.sample()

    def forward(self) -> object:
        """Predictions of both latents."""
        with torch.no_grad():
            return self.backbone.denoise(self.latents, torch.tensor([0.5, 0.5]), self.condition)

    def share(self, times: int) -> float:
        """Of an encoding in a forward, the median of ``times`` in turn."""
        self.encode()
        return float(np.median([cpu_seconds(self.encode) / cpu_seconds(self.forward) for _ in range(times)]))


def multiplications(levels: Levels) -> float:
    """Of the encoder's convolutions, a pixel of the image."""
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
        for b in range(8, 161, 8)
        for c in range(8, 321, 8)
        if a <= b <= 4 * a and 2 * a <= c <= 8 * a
    ]
    return sorted(found, key=multiplications)


@dataclass
class Fit:
    """Candidates and what was measured of them."""

    work: Work
    times: int = 3
    """Calls behind each share."""
    tried: dict[Levels, float] = field(default_factory=dict)
    """Share by channels of the levels, in the order they were tried."""
    refuted: set[Levels] = field(default_factory=set)
    """Those that were off in rounds."""

    def find(self) -> Levels:
        """Try what is expected to fit until that was tried before, then its neighbours; what comes nearest."""
        self._share(START)
        for _ in range(GUESSES):
            (levels,) = self._likely(1)
            if levels in self.tried:
                break
            self._share(levels)
        for one in self._likely(NEIGHBOURS):
            self._share(one)
        return self.nearest()

    def nearest(self) -> Levels:
        """Of those tried, the one whose share is nearest to the one wanted."""
        return min(self.tried, key=lambda levels: abs(self.tried[levels] - SHARE))

    def corrected(self, levels: Levels, seen: float) -> Levels:
        """What to take where rounds with ``levels`` showed the share ``seen``: another one, by trying some."""
        self.refuted.add(levels)
        factor = seen / self.tried[levels]
        return min(self._likely(NEIGHBOURS, factor), key=lambda one: abs(self._share(one) * factor - SHARE))

    def _likely(self, count: int, factor: float = 1.0) -> list[Levels]:
        """Those not refuted whose share, times ``factor``, is expected nearest to the one wanted."""
        known = [one for one in candidates() if one not in self.refuted]
        return sorted(known, key=lambda one: abs(self._expected(one) * factor - SHARE))[:count]

    def _expected(self, levels: Levels) -> float:
        """The share by what was measured of the most similar channels with the same first level, of any if none was.

        Arithmetic is a guide among channels that begin alike only: a first level of 24 costs twice one of 16.
        """
        if levels in self.tried:
            return self.tried[levels]
        alike = [one for one in self.tried if one[0] == levels[0]] or list(self.tried)
        amount = multiplications(levels)
        like = min(alike, key=lambda one: abs(multiplications(one) - amount))
        return self.tried[like] * amount / multiplications(like)

    def _share(self, levels: Levels) -> float:
        if levels not in self.tried:
            self.work.use(levels)
            self.tried[levels] = self.work.share(self.times)
        return self.tried[levels]
