"""Errors of predictions on noised latents, split once into what every loss and every log column is made of.

Legend: B pairs, D noise samples per pair, R = 2*B*D rows (first all chosen, then all rejected; the samples of a pair
are neighbours), C h w a latent or a window of one, N = C*H*W the elements of the whole latent.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from asap.align.batch import NoiseSamples, PairBatch
from asap.align.loss import weighted_error
from asap.backbones.protocol import TextCondition

__all__ = ["NoisePath", "NoisedRows", "RowErrors", "RowName", "add_noise", "row_errors"]

RowName = tuple[int, int, int]
"""(pair, number of the noise sample, side): equal names mean equal rows. Side 0 is chosen, 1 rejected."""


class NoisePath(Protocol):
    """The part of a noise path that a step needs; ``backbones.paths`` has the paths."""

    def mix(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t of clean ``x`` and ``noise`` (R, C, h, w) at ``t`` (R,)."""

    def target(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What the model should predict at x_t, (R, C, h, w)."""


@dataclass(frozen=True, kw_only=True)
class NoisedRows:
    """R noised latents, with all that a denoiser and an error need."""

    noised: Tensor
    """x_t, (R, C, h, w)."""
    target: Tensor
    """(R, C, h, w) float32."""
    time: Tensor
    """t, (R,)."""
    mask: Tensor
    """m, (R, 1, h, w) float32."""
    is_chosen: Tensor
    """(R,) bool."""
    condition: TextCondition
    samples: int
    """D."""
    visible_share: float
    """Share of the whole latent that a row shows, in (0, 1]."""
    names: tuple[RowName, ...] = ()
    """One per row; empty: the noise samples have no names."""

    def pick(self, rows: Sequence[int]) -> "NoisedRows":
        """Some of the rows, in the given order."""
        index = torch.as_tensor(rows, device=self.time.device)
        return NoisedRows(
            noised=self.noised[index],
            target=self.target[index],
            time=self.time[index],
            mask=self.mask[index],
            is_chosen=self.is_chosen[index],
            condition=self.condition.index(index),
            samples=self.samples,
            visible_share=self.visible_share,
            names=tuple(self.names[row] for row in rows) if self.names else (),
        )

    def by_pair(self) -> Iterator["NoisedRows"]:
        """The 2*D rows of each pair."""
        half = len(self.time) // 2
        for first in range(0, half, self.samples):
            rows = range(first, first + self.samples)
            yield self.pick([*rows, *(half + row for row in rows)])


def add_noise(path: NoisePath, batch: PairBatch, noise: NoiseSamples) -> NoisedRows:
    """The R rows of a batch. Both sides of a pair get the same noise, timestep, caption and mask."""
    count, samples = noise.time.shape
    pair = torch.arange(count, device=batch.chosen.device).repeat_interleave(samples)
    clean = torch.cat([batch.chosen[pair], batch.rejected[pair]])
    eps, time = noise.noise.flatten(0, 1).repeat(2, 1, 1, 1), noise.time.flatten().repeat(2)
    return NoisedRows(
        noised=path.mix(clean, eps, time),
        target=path.target(clean, eps, time),
        time=time,
        mask=batch.mask[pair].repeat(2, 1, 1, 1),
        is_chosen=torch.arange(len(time), device=time.device) < len(time) // 2,
        condition=batch.condition.index(pair.repeat(2)),
        samples=samples,
        visible_share=batch.visible_share,
        names=tuple((*name, side) for side in (0, 1) for name in noise.names),
    )


@dataclass(frozen=True, kw_only=True)
class RowErrors:
    """Sums of squared residuals r = prediction - target, each divided by N; float64 (float32 on mps), of one shape.

    N counts the whole latent even where only a window of it is visible, so that an error, and with it a margin, means
    the same in a window. Delta is a small difference of large errors: at k = 2500, float32 sums would give the loss an
    error of 1e-4.
    """

    plain: Tensor
    """Mean of r^2."""
    masked: Tensor
    """Mean of m*r^2 over all N elements."""
    power: Tensor
    """Mean of prediction^2, without gradient."""
    prediction: Tensor | None = None
    """(R, C, h, w), without gradient; not kept after a step, nor in a cache."""

    def weighted(self, alpha: float) -> Tensor:
        """E, the error with weight 1 + alpha*m."""
        return weighted_error(self.plain, self.masked, alpha)

    def inside(self, mask_share: Tensor) -> Tensor:
        """Mean of r^2 inside the mask; NaN where the mask is empty."""
        return self.masked / _positive(mask_share)

    def outside(self, mask_share: Tensor, visible_share: float) -> Tensor:
        """Mean of r^2 over what is visible outside the mask; NaN where nothing is."""
        return (self.plain - self.masked) / _positive(visible_share - mask_share)

    def packed(self) -> Tensor:
        """The three sums as (..., 3), without gradient."""
        return torch.stack([self.plain, self.masked, self.power], dim=-1).detach()

    @classmethod
    def unpack(cls, values: Tensor) -> "RowErrors":
        """The inverse of ``packed``."""
        plain, masked, power = values.unbind(dim=-1)
        return cls(plain=plain, masked=masked, power=power)

    def by_pair(self, samples: int) -> "RowErrors":
        """Errors (R,) as (2, B, D): chosen and rejected."""
        shape = (2, -1, samples)
        return RowErrors(
            plain=self.plain.reshape(shape), masked=self.masked.reshape(shape), power=self.power.reshape(shape)
        )


def row_errors(prediction: Tensor, rows: NoisedRows) -> RowErrors:
    """Errors (R,) of predictions (R, C, h, w), computed in float32 at least."""
    prediction = prediction if prediction.dtype == torch.float64 else prediction.float()
    square = (prediction - rows.target).square()
    dtype = torch.float32 if square.device.type == "mps" else torch.float64

    def mean(value: Tensor) -> Tensor:
        return value.mean(dim=(1, 2, 3), dtype=dtype) * rows.visible_share

    detached = prediction.detach()
    return RowErrors(
        plain=mean(square), masked=mean(square * rows.mask), power=mean(detached.square()), prediction=detached
    )


def _positive(share: Tensor) -> Tensor:
    return torch.where(share > 0, share, torch.full_like(share, torch.nan))
