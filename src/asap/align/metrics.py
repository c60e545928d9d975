"""What a training log says about each step: averages over all its pairs; None, never 0, where nothing is averaged."""

from collections.abc import Sequence

import torch
from torch import Tensor

from asap.align.loss import margin
from asap.align.step import StepResult

__all__ = ["COLUMNS", "per_pair", "summarize"]

COLUMNS = (
    "loss",
    "delta",
    "accuracy",
    "above_tau",
    "winner_rise_inside",
    "loser_rise_inside",
    "winner_rise_outside",
    "loser_rise_outside",
    "delta_t0",
    "delta_t1",
    "delta_t2",
    "delta_t3",
    "policy_power",
    "reference_power",
    "winner_rise",
    "loser_rise",
    "reference_winner",
    "reference_loser",
)
"""Columns of ``per_pair``, under the names that logs have: the winner is the chosen side, the loser the rejected one.
``*_rise``: E_theta - E_ref, below 0 when the policy is better; weighted, unless inside or outside is said.
``delta_t0..3``: delta by quarter of [0, 1] in t."""


@torch.no_grad()
def per_pair(result: StepResult, *, alpha: float, target_margin: float) -> Tensor:
    """Everything to log about B pairs as one (B, len(COLUMNS)) tensor, NaN where undefined.

    It is one tensor so that a step needs one copy to the host.
    """
    policy, reference, errors, losses = result.policy, result.reference, result.errors, result.losses
    share, visible = errors.mask_share[:, None], result.visible_share
    inside = (policy.inside(share) - reference.inside(share)).mean(dim=2)
    outside = (policy.outside(share, visible) - reference.outside(share, visible)).mean(dim=2)
    theta, held = policy.weighted(alpha), reference.weighted(alpha)
    columns = [
        losses.loss,
        losses.delta,
        (losses.delta > 0).to(losses.delta),
        (losses.delta >= target_margin * losses.scale).to(losses.delta),
        *inside,
        *outside,
        *_by_quarter(margin(theta[0], held[0], theta[1], held[1]), result.time),
        policy.power.mean(dim=(0, 2)),
        reference.power.mean(dim=(0, 2)),
        errors.policy_chosen - errors.reference_chosen,
        errors.policy_rejected - errors.reference_rejected,
        errors.reference_chosen,
        errors.reference_rejected,
    ]
    return torch.stack([column.float() for column in columns], dim=1)


def summarize(values: Sequence[Tensor]) -> dict[str, float | None]:
    """Means over pairs of several ``per_pair`` tensors, and ``norm_ratio`` = |v_theta| / |v_ref|."""
    table = torch.cat([value.cpu() for value in values]).double()
    counts = (~table.isnan()).sum(dim=0)
    sums = table.nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf).sum(dim=0)
    row: dict[str, float | None] = {
        name: float(total / count) if count else None for name, total, count in zip(COLUMNS, sums, counts, strict=True)
    }
    row["loss"] = float(table[:, 0].mean())  # a NaN loss must be seen, not left out as undefined
    policy, reference = row.pop("policy_power"), row.pop("reference_power")
    row["norm_ratio"] = (policy / reference) ** 0.5 if policy is not None and reference else None
    return row


def _by_quarter(delta: Tensor, time: Tensor) -> list[Tensor]:
    """Mean (B,) of the delta (B, D) of noise samples in each quarter of [0, 1], NaN where a pair has none."""
    quarter = (time * 4).long().clamp(0, 3)
    nothing = torch.full_like(delta, torch.nan)
    return [torch.where(quarter == index, delta, nothing).nanmean(dim=1) for index in range(4)]
