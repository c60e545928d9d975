"""How the policy does on pairs that it is not trained on, always at the same noise and timesteps.

Legend: B pairs, D noise samples per pair, C h w a latent.
"""

from collections.abc import Sequence

import torch

from asap.align.batch import NoiseSamples, PairBatch
from asap.align.step import Objective, evaluate
from asap.core.seeds import derive

__all__ = ["HELD_OUT_COLUMNS", "fixed_noise", "held_out"]

HELD_OUT_COLUMNS = ("loss", "delta", "winner_rise")
"""Columns of ``held_out``, as in the log: the method's loss, delta, and E_theta - E_ref of the chosen side."""


def fixed_noise(shape: Sequence[int], *, seed: int, pairs: Sequence[int], samples: int) -> NoiseSamples:
    """Noise named by (seed, pair, sample), and timesteps at the middles of D equal parts of [0, 1].

    Args:
        shape: (C, h, w).
        seed: the run's.
        pairs: numbers of B held-out pairs.
        samples: D >= 1.
    """
    noise = torch.empty(len(pairs), samples, *shape)
    for row, pair in enumerate(pairs):
        for column in range(samples):
            source = torch.Generator().manual_seed(derive(seed, "held-out", pair, column))
            noise[row, column] = torch.randn(*shape, generator=source)
    times = (torch.arange(samples) + 0.5) / samples
    return NoiseSamples(noise=noise, time=times.expand(len(pairs), samples).contiguous())


@torch.no_grad()
def held_out(objective: Objective, batch: PairBatch, noise: NoiseSamples) -> list[tuple[float, ...]]:
    """``HELD_OUT_COLUMNS`` of each pair."""
    result = evaluate(objective, batch, noise)
    rise = result.errors.policy_chosen - result.errors.reference_chosen
    columns = (result.losses.loss, result.losses.delta, rise)
    return [tuple(map(float, row)) for row in zip(*(column.tolist() for column in columns), strict=True)]
