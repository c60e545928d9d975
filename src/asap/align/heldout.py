"""How the policy stands on pairs that it is not trained on, always at the same noise and times.

Legend: B pairs, D draws of (noise, time) a pair, C h w a latent.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch

from asap.align.batch import Draws, PairBatch
from asap.align.methods import LossSettings, Method, pair_losses
from asap.align.policy import Denoise
from asap.align.step import NoisePath, measure, pair_errors
from asap.core.seeds import derive

__all__ = ["HELD_OUT_TERMS", "fixed_draws", "held_out"]

HELD_OUT_TERMS = ("loss", "delta", "winner_rise")
"""Columns of ``held_out``."""


def fixed_draws(shape: Sequence[int], *, seed: int, pairs: Sequence[int], draws: int) -> Draws:
    """Noise named by (seed, pair, draw), and times at the middles of D equal parts of [0, 1]: the same at every step.

    Args:
        shape: (C, h, w).
        seed: the run's.
        pairs: B numbers of held-out pairs.
        draws: D >= 1.
    """
    noise = torch.empty(len(pairs), draws, *shape)
    for row, pair in enumerate(pairs):
        for column in range(draws):
            source = torch.Generator().manual_seed(derive(seed, "held-out", pair, column))
            noise[row, column] = torch.randn(*shape, generator=source)
    times = (torch.arange(draws) + 0.5) / draws
    return Draws(noise=noise, time=times.expand(len(pairs), draws).contiguous())


def held_out(
    policy: Denoise,
    reference: Denoise,
    path: NoisePath,
    batch: PairBatch,
    draws: Draws,
    *,
    method: Method,
    loss: LossSettings,
    cast: AbstractContextManager[None],
) -> list[tuple[float, ...]]:
    """One tuple a pair: the method's loss, delta, and E_theta^w - E_ref^w; without gradient. See ``step.measure``."""
    with torch.no_grad():
        found = measure(policy, reference, path, batch, draws, alpha=loss.alpha, cast=cast)
        errors = pair_errors(found, loss.alpha)
        losses, terms = pair_losses(method.shape, errors, loss)
    columns = (losses, terms["delta"], errors.policy_winner - errors.reference_winner)
    return [tuple(map(float, row)) for row in zip(*(column.tolist() for column in columns), strict=True)]
