"""What one forward of alignment eats, and the randomness in it.

Legend: B pairs, D draws of (noise, time) a pair, C h w a latent. Noise and time of a draw are named by (seed, step,
slot, draw), where the slot is the pair's place in the step's whole batch. So they depend neither on how the batch is
split over micro-batches and processes, nor on what ran before: that is what makes resuming exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from asap.backbones.protocol import TextCondition
from asap.core.errors import InputError
from asap.core.seeds import derive, generator

__all__ = ["Draws", "PairBatch", "PairSource", "TimeSampler", "draw", "slots_of_step", "to_device"]

TRIES = 1000
"""How often a time is redrawn until it lies in the asked range."""


@dataclass(frozen=True, kw_only=True)
class PairBatch:
    """B pairs in latent space."""

    winner: Tensor
    """x_w, (B, C, h, w) float32."""
    loser: Tensor
    """x_l, (B, C, h, w) float32."""
    mask: Tensor
    """m, (B, 1, h, w) float32 in [0, 1]."""
    condition: TextCondition
    """The captions c, one a pair."""


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


class TimeSampler(Protocol):
    """The part of a noise path that draws times."""

    def sample_time(self, batch: int, generator: torch.Generator) -> Tensor:
        """(batch,) times in [0, 1]."""


def slots_of_step(seed: int, step: int, batch: int, total: int) -> list[int]:
    """Pair indices of one optimizer step, one a slot: shuffled passes over all pairs, each pass in its own order.

    Args:
        seed: the run's seed.
        step: 0-based optimizer step.
        batch: pairs a step over all micro-batches and processes.
        total: number of pairs, >= 1.
    """
    places = range(step * batch, (step + 1) * batch)
    orders = {
        epoch: generator(seed, "order", epoch).permutation(total) for epoch in sorted({p // total for p in places})
    }
    return [int(orders[place // total][place % total]) for place in places]


def draw(
    path: TimeSampler,
    shape: Sequence[int],
    *,
    seed: int,
    step: int,
    slots: Sequence[int],
    draws: int,
    time_range: tuple[float, float] = (0.0, 1.0),
) -> Draws:
    """Noise and times for some slots of a step, on the CPU (so that a GPU run sees the same numbers).

    Args:
        path: draws the times.
        shape: (C, h, w).
        seed: the run's seed.
        step: 0-based optimizer step.
        slots: places in the step's whole batch, B of them.
        draws: D >= 1.
        time_range: times outside it are drawn again.

    Raises:
        InputError: the path practically never draws a time in the range.
    """
    noise = torch.empty(len(slots), draws, *shape)
    time = torch.empty(len(slots), draws)
    for row, slot in enumerate(slots):
        for column in range(draws):
            source = torch.Generator().manual_seed(derive(seed, "draw", step, slot, column))
            noise[row, column] = torch.randn(*shape, generator=source)
            time[row, column] = _time(path, source, time_range)
    return Draws(noise=noise, time=time)


def _time(path: TimeSampler, source: torch.Generator, time_range: tuple[float, float]) -> float:
    low, high = time_range
    for _ in range(TRIES):
        value = float(path.sample_time(1, source)[0])
        if low <= value <= high:
            return value
    raise InputError(f"no time in [{low}, {high}] was drawn in {TRIES} tries; widen time_range")


def to_device(batch: PairBatch, draws: Draws, device: torch.device) -> tuple[PairBatch, Draws]:
    """Both on ``device``; returned unchanged for the CPU."""
    if device.type == "cpu":
        return batch, draws
    condition = replace(
        batch.condition, tensors={key: value.to(device) for key, value in batch.condition.tensors.items()}
    )
    moved = PairBatch(
        winner=batch.winner.to(device),
        loser=batch.loser.to(device),
        mask=batch.mask.to(device),
        condition=condition,
    )
    return moved, Draws(noise=draws.noise.to(device), time=draws.time.to(device))


def needed_pairs(seed: int, steps: int, batch: int, total: int) -> list[int]:
    """Sorted distinct pair indices that ``steps`` steps touch, so that no other pair need be encoded."""
    if steps * batch >= total:
        return list(range(total))
    order = generator(seed, "order", 0).permutation(total)[: steps * batch]
    return sorted(int(index) for index in np.asarray(order))
