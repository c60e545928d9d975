"""What one forward of alignment eats, and the randomness in it.

Legend: B pairs, D draws of (noise, time) a pair, C h w a latent. Noise and time of a draw are named by (seed, step,
slot, draw), where the slot is the pair's place in the step's whole batch; or, where a run keeps a fixed number of draws
a pair, by (seed, pair, number). So they depend neither on how the batch is split over micro-batches and processes, nor
on what ran before: that is what makes resuming exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from asap.align.times import TimeLaw, TimeSampler
from asap.backbones.protocol import TextCondition
from asap.core.seeds import derive, generator

__all__ = ["Draws", "PairBatch", "PairSource", "Slots", "cut", "draw", "to_device"]


@dataclass(frozen=True, kw_only=True)
class PairBatch:
    """B pairs in latent space, whole or as windows of one size."""

    winner: Tensor
    """x_w, (B, C, h, w) float32."""
    loser: Tensor
    """x_l, (B, C, h, w) float32."""
    mask: Tensor
    """m, (B, 1, h, w) float32 in [0, 1]."""
    condition: TextCondition
    """The captions c, one a pair; told of the windows by whom they were cut."""
    corners: tuple[tuple[int, int], ...] = ()
    """Row and column of each window's first cell in the image that it was cut from; empty: nothing was cut."""
    whole: tuple[int, int] | None = None
    """Height and width of these images in cells; None: nothing was cut."""

    @property
    def picture(self) -> tuple[int, int, int]:
        """(C, H, W) of the whole images."""
        channels, height, width = self.winner.shape[1:]
        return channels, *(self.whole or (height, width))

    @property
    def seen(self) -> float:
        """Share of the image that a window shows; 1 where nothing was cut."""
        _, height, width = self.picture
        return self.winner.shape[2] * self.winner.shape[3] / (height * width)


@dataclass(frozen=True, kw_only=True)
class Draws:
    """What winner and loser share."""

    noise: Tensor
    """(B, D, C, h, w) standard normal, float32."""
    time: Tensor
    """t, (B, D) in [0, 1], float32, in the convention of ``backbones.paths``."""


class PairSource(Protocol):
    """Anything that hands out pairs by index, in any order and again."""

    def __len__(self) -> int:
        """Number of pairs."""

    def batch(self, indices: Sequence[int]) -> PairBatch:
        """The pairs at ``indices``, on the CPU."""


@dataclass(frozen=True, kw_only=True)
class Slots:
    """Some places of one step's whole batch and the pairs that stand there."""

    step: int
    """0-based optimizer step."""
    places: tuple[int, ...]
    """B of them."""
    pairs: tuple[int, ...]
    """Index of the pair at each place."""
    batch: int
    """Places of the whole step."""
    total: int
    """Pairs that take turns with these: all of the run, or those of one shape."""
    start: int
    """Places that these have filled in earlier steps."""

    def numbers(self, draws: int, kept: int) -> list[tuple[int, ...]]:
        """A number for each of the ``draws`` of each place: of fixed draws (0 to ``kept`` - 1), or never again if 0.

        A pair goes through its fixed draws in order, visit after visit.
        """
        if not kept:
            first = self.step * self.batch
            return [tuple(range((first + place) * draws, (first + place + 1) * draws)) for place in self.places]
        visits = [(self.start + place) // self.total for place in self.places]
        return [tuple((visit * draws + column) % kept for column in range(draws)) for visit in visits]


def draw(
    path: TimeSampler,
    shape: Sequence[int],
    slots: Slots,
    *,
    seed: int,
    draws: int,
    law: TimeLaw | None = None,
    kept: int = 0,
) -> Draws:
    """Noise and times for some slots of a step, on the CPU (so that a GPU run sees the same numbers).

    Args:
        path: draws the times if the law is its own.
        shape: (C, h, w), of whole images; see ``cut``.
        slots: B places.
        seed: the run's seed.
        draws: D >= 1.
        law: of the times; None: the path's own.
        kept: fixed draws a pair; 0: every visit draws anew.

    Raises:
        InputError: the path practically never draws a time in the range.
    """
    law = law or TimeLaw()
    noise = torch.empty(len(slots.places), draws, *shape)
    time = torch.empty(len(slots.places), draws)
    for row, (place, pair, numbers) in enumerate(
        zip(slots.places, slots.pairs, slots.numbers(draws, kept), strict=True)
    ):
        for column, number in enumerate(numbers):
            name = ("fixed", pair, number) if kept else ("draw", slots.step, place, column)
            source = torch.Generator().manual_seed(derive(seed, *name))
            noise[row, column] = torch.randn(*shape, generator=source)
            stratum = None
            if law.stratified and kept:
                stratum = _order(seed, kept, "strata", "pair", pair)[number], kept
            elif law.stratified:
                count = slots.batch * draws
                stratum = _order(seed, count, "strata", "step", slots.step)[place * draws + column], count
            time[row, column] = law.draw(path, source, stratum)
    return Draws(noise=noise, time=time)


def cut(draws: Draws, batch: PairBatch) -> Draws:
    """The draws as the batch's windows see them: noise is drawn for whole images, so that a window changes none."""
    if not batch.corners:
        return draws
    height, width = batch.winner.shape[2:]
    rows = [
        own[..., top : top + height, left : left + width]
        for own, (top, left) in zip(draws.noise, batch.corners, strict=True)
    ]
    return Draws(noise=torch.stack(rows), time=draws.time)


@lru_cache(maxsize=256)
def _order(seed: int, count: int, *keys: str | int) -> tuple[int, ...]:
    """0 to ``count`` - 1 in an order named by the keys."""
    return tuple(int(number) for number in generator(seed, *keys).permutation(count))


def to_device(batch: PairBatch, draws: Draws, device: torch.device) -> tuple[PairBatch, Draws]:
    """Both on ``device``; returned unchanged for the CPU."""
    if device.type == "cpu":
        return batch, draws
    condition = replace(
        batch.condition, tensors={key: value.to(device) for key, value in batch.condition.tensors.items()}
    )
    sides = {name: getattr(batch, name).to(device) for name in ("winner", "loser", "mask")}
    moved = replace(batch, condition=condition, **sides)
    return moved, Draws(noise=draws.noise.to(device), time=draws.time.to(device))
