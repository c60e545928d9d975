"""One look at a batch: policy and reference on the same noised latents, and every error that follows from it.

Legend: B pairs, D draws a pair, R = 2*B*D rows of the one forward (all winners, then all losers; draws of a pair are
neighbours), C h w a latent.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from asap.align.batch import Draws, PairBatch
from asap.align.loss import weighted_error
from asap.align.methods import PairErrors
from asap.align.policy import Denoise

__all__ = ["NoisePath", "Residuals", "StepErrors", "measure", "pair_errors", "residuals"]


class NoisePath(Protocol):
    """The part of a noise path that a step needs; ``backbones.paths`` is its home."""

    def mix(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t from clean ``x`` and ``noise`` (R, C, h, w) at ``t`` (R,)."""

    def target(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What the model should predict at x_t, (R, C, h, w)."""


@dataclass(frozen=True, kw_only=True)
class Residuals:
    """Per-row sums of squared residuals r = prediction - target, (R,) float32, each divided by N = C*h*w."""

    plain: Tensor
    """Mean of r^2."""
    masked: Tensor
    """Mean of m*r^2 over all N elements."""
    power: Tensor
    """Mean of prediction^2, without gradient."""

    def packed(self) -> Tensor:
        """(R, 3), detached."""
        return torch.stack([self.plain, self.masked, self.power], dim=1).detach()

    @classmethod
    def unpack(cls, values: Tensor) -> "Residuals":
        """From ``packed``."""
        plain, masked, power = values.unbind(dim=1)
        return cls(plain=plain, masked=masked, power=power)


@dataclass(frozen=True, kw_only=True)
class StepErrors:
    """All that one look gives: the loss's inputs and, without gradient, what the log needs."""

    policy: Residuals
    reference: Residuals
    alignment: Tensor
    """<g_w, g_l> / |g_w|^2 of the policy in the space of predictions, (B,)."""
    mask_share: Tensor
    """(B,)."""
    time: Tensor
    """(B, D)."""


def residuals(prediction: Tensor, target: Tensor, mask: Tensor) -> tuple[Residuals, Tensor]:
    """Residual sums in float32 whatever the forward's precision, and the residuals themselves (R, C, h, w).

    Args:
        prediction: (R, C, h, w).
        target: (R, C, h, w) float32.
        mask: (R, 1, h, w) float32.
    """
    whole = prediction if prediction.dtype == torch.float64 else prediction.float()
    difference = whole - target
    square = difference.square()
    return (
        Residuals(
            plain=square.mean(dim=(1, 2, 3)),
            masked=(square * mask).mean(dim=(1, 2, 3)),
            power=whole.detach().square().mean(dim=(1, 2, 3)),
        ),
        difference.detach(),
    )


def measure(
    policy: Denoise,
    reference: Denoise,
    path: NoisePath,
    batch: PairBatch,
    draws: Draws,
    *,
    alpha: float,
    cast: AbstractContextManager[None],
    known_reference: Tensor | None = None,
) -> StepErrors:
    """Run reference and policy once each on winners and losers together.

    Args:
        policy: with gradient.
        reference: without.
        path: noise path of the backbone.
        batch: B pairs.
        draws: noise and times that winner and loser share.
        alpha: mask weight, for ``StepErrors.alignment`` only.
        cast: re-enterable autocast context; entered once a forward, because autocast's cache of cast weights must not
            carry the reference's gradient-free copies into the policy's forward.
        known_reference: packed residuals of the reference (R, 3) for these very draws; spares its forward.
    """
    count, repeats = draws.time.shape
    rows = torch.arange(count, device=batch.winner.device).repeat_interleave(repeats).repeat(2)
    clean = torch.cat([batch.winner, batch.loser])[_sides(rows, count)]
    noise = draws.noise.flatten(0, 1).repeat(2, 1, 1, 1)
    time = draws.time.flatten().repeat(2)
    noised, target = path.mix(clean, noise, time), path.target(clean, noise, time)
    condition, mask = batch.condition.index(rows), batch.mask[rows]
    if known_reference is None:
        with cast:
            held = reference(noised, time, condition)
        reference_sums, _ = residuals(held, target, mask)
    else:
        reference_sums = Residuals.unpack(known_reference.to(target))
    with cast:
        prediction = policy(noised, time, condition)
    policy_sums, difference = residuals(prediction, target, mask)
    return StepErrors(
        policy=policy_sums,
        reference=reference_sums,
        alignment=_alignment(difference * (1 + alpha * mask), count, repeats),
        mask_share=batch.mask.mean(dim=(1, 2, 3)),
        time=draws.time,
    )


def _sides(rows: Tensor, count: int) -> Tensor:
    """Row numbers into [winners; losers]: the second half of ``rows`` is shifted to the losers."""
    half = len(rows) // 2
    return torch.cat([rows[:half], rows[half:] + count])


def _alignment(weighted: Tensor, count: int, repeats: int) -> Tensor:
    """<g_w, g_l> / |g_w|^2 per pair from W*r (R, C, h, w); summed over draws, because E is their mean."""
    winner, loser = weighted.reshape(2, count, repeats, -1).unbind(dim=0)
    own = winner.square().sum(dim=(1, 2)).clamp(min=torch.finfo(winner.dtype).tiny)
    return (winner * loser).sum(dim=(1, 2)) / own


def pair_errors(found: StepErrors, alpha: float) -> PairErrors:
    """Weighted errors per pair, mean over draws: what the loss looks at."""
    count, repeats = found.time.shape

    def split(sums: Residuals) -> tuple[Tensor, Tensor]:
        error = weighted_error(sums.plain, sums.masked, alpha).reshape(2, count, repeats).mean(dim=2)
        return error[0], error[1]

    (policy_winner, policy_loser), (reference_winner, reference_loser) = split(found.policy), split(found.reference)
    return PairErrors(
        policy_winner=policy_winner,
        reference_winner=reference_winner,
        policy_loser=policy_loser,
        reference_loser=reference_loser,
        mask_share=found.mask_share,
        alignment=found.alignment,
    )
