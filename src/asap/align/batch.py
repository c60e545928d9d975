"""Inputs of one training forward: pairs as latents, and the noise samples they are seen at.

Legend: B pairs, D noise samples per pair, C h w a latent.

A noise sample is a noise and a timestep. Its randomness is named by (seed, step, slot, sample), where the slot is the
pair's place in the step's whole batch; or by (seed, pair, number) where a run keeps a fixed set of samples per pair.
So it depends neither on how a batch is split over micro-batches and processes nor on earlier steps: resuming is exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from asap.align.timestep_sampling import TimestepSampler, TimestepSampling
from asap.backbones.protocol import TextCondition
from asap.core.seeds import derive, generator

__all__ = ["NoiseSamples", "PairBatch", "PairSource", "Slots", "crop_noise", "sample_noise", "to_device"]


@dataclass(frozen=True, kw_only=True)
class PairBatch:
    """B pairs in latent space: whole images, or windows of one size."""

    chosen: Tensor
    """x of the chosen side, (B, C, h, w) float32."""
    rejected: Tensor
    """x of the rejected side, (B, C, h, w) float32."""
    mask: Tensor
    """m, (B, 1, h, w) float32 in [0, 1]."""
    condition: TextCondition
    """The captions c, one per pair; with crop coordinates where windows were cut."""
    corners: tuple[tuple[int, int], ...] = ()
    """Row and column of each window's first cell in its image; empty: the batch has whole images."""
    image_size: tuple[int, int] | None = None
    """Height and width in cells of the images that windows were cut from; None: the batch has whole images."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the whole images."""
        channels, height, width = self.chosen.shape[1:]
        return channels, *(self.image_size or (height, width))

    @property
    def visible_share(self) -> float:
        """Share of the image that a window shows, in (0, 1]; 1 for whole images."""
        _, height, width = self.image_shape
        return self.chosen.shape[2] * self.chosen.shape[3] / (height * width)


@dataclass(frozen=True, kw_only=True)
class NoiseSamples:
    """Noise and timesteps that both sides of a pair share."""

    noise: Tensor
    """(B, D, C, h, w) standard normal, float32."""
    time: Tensor
    """t, (B, D) in [0, 1], float32, in the convention of ``backbones.paths``."""
    names: tuple[tuple[int, int], ...] = ()
    """(pair, number) of each of the B*D samples, the same for equal samples; empty: they have no names."""


class PairSource(Protocol):
    """Hands out pairs by index, in any order and any number of times."""

    def __len__(self) -> int:
        """Number of pairs."""

    def batch(self, indices: Sequence[int]) -> PairBatch:
        """The pairs at ``indices``, on the CPU."""


@dataclass(frozen=True, kw_only=True)
class Slots:
    """Some slots of one step's whole batch, and the pairs that fill them."""

    step: int
    """0-based optimizer step."""
    places: tuple[int, ...]
    """Numbers of the B slots."""
    pairs: tuple[int, ...]
    """Index of the pair in each slot."""
    batch: int
    """Slots of the whole step."""
    total: int
    """Pairs of this shape, which take turns; all pairs of the run if they have one shape."""
    start: int
    """Slots that pairs of this shape filled in earlier steps."""

    def sample_numbers(self, samples: int, fixed: int) -> list[tuple[int, ...]]:
        """Numbers of the ``samples`` noise samples of each slot: 0 to ``fixed`` - 1, or never repeated if 0.

        A pair goes through its fixed samples in order, visit after visit.
        """
        if not fixed:
            first = self.step * self.batch
            return [tuple(range((first + place) * samples, (first + place + 1) * samples)) for place in self.places]
        visits = [(self.start + place) // self.total for place in self.places]
        return [tuple((visit * samples + column) % fixed for column in range(samples)) for visit in visits]


def sample_noise(
    path: TimestepSampler,
    shape: Sequence[int],
    slots: Slots,
    *,
    seed: int,
    samples: int,
    timesteps: TimestepSampling | None = None,
    fixed: int = 0,
) -> NoiseSamples:
    """Noise and timesteps for some slots of a step, on the CPU (so that a GPU run sees the same values).

    Args:
        path: samples the timesteps if their distribution is its own.
        shape: (C, h, w) of whole images; see ``crop_noise``.
        slots: B slots.
        seed: the run's seed.
        samples: D >= 1.
        timesteps: their distribution; None: the path's own.
        fixed: fixed samples per pair; 0: every visit samples anew.

    Raises:
        InputError: the path practically never samples a timestep in the range.
    """
    timesteps = timesteps or TimestepSampling()
    numbers = slots.sample_numbers(samples, fixed)
    noise = torch.empty(len(slots.places), samples, *shape)
    time = torch.empty(len(slots.places), samples)
    for row, (place, pair, own) in enumerate(zip(slots.places, slots.pairs, numbers, strict=True)):
        for column, number in enumerate(own):
            name = ("fixed", pair, number) if fixed else ("draw", slots.step, place, column)
            source = torch.Generator().manual_seed(derive(seed, *name))
            noise[row, column] = torch.randn(*shape, generator=source)
            stratum = None
            if timesteps.stratified and fixed:
                stratum = _permutation(seed, fixed, "strata", "pair", pair)[number], fixed
            elif timesteps.stratified:
                count = slots.batch * samples
                order = _permutation(seed, count, "strata", "step", slots.step)
                stratum = order[place * samples + column], count
            time[row, column] = timesteps.sample(path, source, stratum)
    names = tuple((pair, number) for pair, own in zip(slots.pairs, numbers, strict=True) for number in own)
    return NoiseSamples(noise=noise, time=time, names=names)


def crop_noise(noise: NoiseSamples, batch: PairBatch) -> NoiseSamples:
    """The noise inside the batch's windows. Noise is sampled for whole images, so a window does not change it."""
    if not batch.corners:
        return noise
    height, width = batch.chosen.shape[2:]
    rows = [
        image[..., top : top + height, left : left + width]
        for image, (top, left) in zip(noise.noise, batch.corners, strict=True)
    ]
    return replace(noise, noise=torch.stack(rows))


@lru_cache(maxsize=256)
def _permutation(seed: int, count: int, *keys: str | int) -> tuple[int, ...]:
    """0 to ``count`` - 1 in an order named by the keys."""
    return tuple(int(number) for number in generator(seed, *keys).permutation(count))


def to_device(batch: PairBatch, noise: NoiseSamples, device: torch.device) -> tuple[PairBatch, NoiseSamples]:
    """Both on ``device``; returned unchanged for the CPU."""
    if device.type == "cpu":
        return batch, noise
    tensors = {key: value.to(device) for key, value in batch.condition.tensors.items()}
    moved = replace(
        batch,
        chosen=batch.chosen.to(device),
        rejected=batch.rejected.to(device),
        mask=batch.mask.to(device),
        condition=replace(batch.condition, tensors=tensors),
    )
    return moved, replace(noise, noise=noise.noise.to(device), time=noise.time.to(device))
