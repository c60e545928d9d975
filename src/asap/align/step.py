"""One look at a batch: policy and reference on the same noised latents, and every error that follows from it.

Legend: B pairs, D draws a pair, R = 2*B*D rows of a look (all winners, then all losers; draws of a pair are
neighbours), C h w a latent.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from asap.align.batch import Draws, PairBatch
from asap.align.loss import weighted_error
from asap.align.methods import PairErrors
from asap.align.policy import Denoise
from asap.backbones.protocol import TextCondition

__all__ = [
    "NoisePath",
    "Residuals",
    "Rows",
    "StepErrors",
    "alignment",
    "assemble",
    "complete",
    "measure",
    "pair_errors",
    "residuals",
    "unknown",
    "wide",
]


class NoisePath(Protocol):
    """The part of a noise path that a step needs; ``backbones.paths`` is its home."""

    def mix(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t from clean ``x`` and ``noise`` (R, C, h, w) at ``t`` (R,)."""

    def target(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What the model should predict at x_t, (R, C, h, w)."""


@dataclass(frozen=True, kw_only=True)
class Residuals:
    """Per-row sums of squared residuals r = prediction - target, (R,) float64, each divided by N = C*H*W.

    N is that of the whole image, also where only a window of it was looked at, so that an error, and a margin with
    it, means the same in a window.

    Delta is a small difference of large errors: at k = 2500, float32 sums would leave the loss an error of 1e-4.
    """

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
    """Of the whole image, (B,)."""
    time: Tensor
    """(B, D)."""
    seen: float = 1.0
    """Share of the whole image that was looked at."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """R noised latents with what a denoiser and an error need of each."""

    noised: Tensor
    """x_t, (R, C, h, w)."""
    target: Tensor
    """(R, C, h, w)."""
    time: Tensor
    """(R,)."""
    mask: Tensor
    """(R, 1, h, w)."""
    condition: TextCondition
    seen: float = 1.0
    """Share of the whole image that a row shows."""

    def pick(self, rows: Sequence[int]) -> "Rows":
        """Some of the rows, in the order given."""
        chosen = torch.as_tensor(rows, device=self.time.device)
        return Rows(
            noised=self.noised[chosen],
            target=self.target[chosen],
            time=self.time[chosen],
            mask=self.mask[chosen],
            condition=self.condition.index(chosen),
            seen=self.seen,
        )

    def look(self, denoise: Denoise, cast: AbstractContextManager[None]) -> tuple[Residuals, Tensor]:
        """Residual sums of one forward on all rows, and the residuals themselves; see ``residuals``.

        The autocast context is entered once a forward, because its cache of cast weights must not carry the
        reference's gradient-free copies into the policy's forward.
        """
        with cast:
            prediction = denoise(self.noised, self.time, self.condition)
        return residuals(prediction, self.target, self.mask, self.seen)


def assemble(path: NoisePath, batch: PairBatch, draws: Draws) -> Rows:
    """The R rows of a batch: winners and losers under the noise and times that they share."""
    count, repeats = draws.time.shape
    rows = torch.arange(count, device=batch.winner.device).repeat_interleave(repeats).repeat(2)
    clean = torch.cat([batch.winner, batch.loser])[_sides(rows, count)]
    noise = draws.noise.flatten(0, 1).repeat(2, 1, 1, 1)
    time = draws.time.flatten().repeat(2)
    return Rows(
        noised=path.mix(clean, noise, time),
        target=path.target(clean, noise, time),
        time=time,
        mask=batch.mask[rows],
        condition=batch.condition.index(rows),
        seen=batch.seen,
    )


def wide(device: torch.device) -> torch.dtype:
    """What errors are summed in there."""
    return torch.float32 if device.type == "mps" else torch.float64


def unknown(count: int, device: torch.device) -> Tensor:
    """Packed residuals (count, 3) of which nothing is known."""
    return torch.full((count, 3), torch.nan, dtype=wide(device), device=device)


def residuals(prediction: Tensor, target: Tensor, mask: Tensor, seen: float = 1.0) -> tuple[Residuals, Tensor]:
    """Residual sums in float64 (float32 on mps), and the residuals themselves (R, C, h, w), float32 at least.

    Args:
        prediction: (R, C, h, w).
        target: (R, C, h, w) float32.
        mask: (R, 1, h, w) float32.
        seen: share of the whole image that a row shows.
    """
    whole = prediction if prediction.dtype == torch.float64 else prediction.float()
    difference = whole - target
    square, kind = difference.square(), wide(difference.device)
    return (
        Residuals(
            plain=square.mean(dim=(1, 2, 3), dtype=kind) * seen,
            masked=(square * mask).mean(dim=(1, 2, 3), dtype=kind) * seen,
            power=whole.detach().square().mean(dim=(1, 2, 3), dtype=kind) * seen,
        ),
        difference.detach(),
    )


def complete(known: Tensor, rows: Rows, reference: Denoise, cast: AbstractContextManager[None]) -> Tensor:
    """Packed residuals of the reference (R, 3): ``known`` where it is a number, one forward for the rest."""
    missing = [row for row, lost in enumerate(known.isnan().any(dim=1).tolist()) if lost]
    if not missing:
        return known
    asked = rows if len(missing) == len(known) else rows.pick(missing)
    sums, _ = asked.look(reference, cast)
    found = known.clone()
    found[missing] = sums.packed().to(found)
    return found


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
        cast: re-enterable autocast context.
        known_reference: packed residuals of the reference (R, 3) for these very draws, NaN where unknown; spares its
            forward.
    """
    count, repeats = draws.time.shape
    rows = assemble(path, batch, draws)
    device = rows.target.device
    known = unknown(len(rows.time), device) if known_reference is None else known_reference.to(device, wide(device))
    held = Residuals.unpack(complete(known, rows, reference, cast))
    policy_sums, difference = rows.look(policy, cast)
    return StepErrors(
        policy=policy_sums,
        reference=held,
        alignment=alignment(difference * (1 + alpha * rows.mask), count, repeats),
        mask_share=batch.mask.mean(dim=(1, 2, 3)) * batch.seen,
        time=draws.time,
        seen=batch.seen,
    )


def _sides(rows: Tensor, count: int) -> Tensor:
    """Row numbers into [winners; losers]: the second half of ``rows`` is shifted to the losers."""
    half = len(rows) // 2
    return torch.cat([rows[:half], rows[half:] + count])


def alignment(weighted: Tensor, count: int, repeats: int) -> Tensor:
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
