"""What a training log says about each step, and the watch for a policy that flees the loser.

Rows are averages over all pairs of a step. A value with nothing to average over is None, never 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from asap.align.loss import margin, weighted_error
from asap.align.step import Residuals, StepErrors

__all__ = ["FleeWatch", "per_pair", "summarise"]

QUARTILES = 4
Row = dict[str, float | None]


def per_pair(found: StepErrors, losses: Tensor, terms: Mapping[str, Tensor], *, alpha: float, tau: float) -> Tensor:
    """Everything to log about B pairs as one (B, K) tensor in the order of ``columns()``; NaN where undefined.

    One tensor, so that a step costs one copy to the host.
    """
    with torch.no_grad():
        sides = _sides(found)
        delta = terms["delta"]
        draws = _draw_margins(found, alpha)
        columns = [
            losses.detach(),
            delta,
            (delta > 0).to(delta),
            (delta >= tau * terms["scale"]).to(delta),
            terms["loser_factor"],
            *sides,
            *_by_quartile(draws, found.time),
            found.policy.power.reshape(2, *found.time.shape).mean(dim=(0, 2)),
            found.reference.power.reshape(2, *found.time.shape).mean(dim=(0, 2)),
            *_weighted_rise(found, alpha),
        ]
        return torch.stack([column.float() for column in columns], dim=1)


NAMES = (
    "loss",
    "delta",
    "accuracy",
    "above_tau",
    "loser_factor",
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
"""Columns of ``per_pair``. ``*_rise``: E_theta - E_ref, below 0 when the policy is better; weighted by W where neither
inside nor outside is said. ``delta_t0..3``: margin by quarter of [0, 1] in t."""


def summarise(values: Sequence[Tensor]) -> Row:
    """Means over pairs of several ``per_pair`` tensors, plus ``norm_ratio`` = |v_theta| / |v_ref|."""
    table = torch.cat([value.cpu() for value in values]).double()
    defined = ~table.isnan()
    counts = defined.sum(dim=0)
    sums = table.nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf).sum(dim=0)
    row: Row = {
        name: float(total / count) if count else None for name, total, count in zip(NAMES, sums, counts, strict=True)
    }
    # A loss that is not a number must stay one, not vanish among the undefined.
    row["loss"] = float(table[:, 0].mean())
    policy, reference = row.pop("policy_power"), row.pop("reference_power")
    row["norm_ratio"] = (policy / reference) ** 0.5 if policy is not None and reference else None
    return row


def _sides(found: StepErrors) -> list[Tensor]:
    """Rise of the error inside (winner, loser) and outside the mask, unweighted means over the cells seen."""
    count, repeats = found.time.shape

    def rise(policy: Tensor, reference: Tensor) -> Tensor:
        return (policy - reference).reshape(2, count, repeats).mean(dim=2)

    masked = rise(found.policy.masked, found.reference.masked)
    plain = rise(found.policy.plain, found.reference.plain)
    inside = masked / _positive(found.mask_share)
    outside = (plain - masked) / _positive(found.seen - found.mask_share)
    return [inside[0], inside[1], outside[0], outside[1]]


def _positive(share: Tensor) -> Tensor:
    """``share``, NaN where there is nothing."""
    return torch.where(share > 0, share, torch.full_like(share, torch.nan))


def _draw_margins(found: StepErrors, alpha: float) -> Tensor:
    """Delta of every draw, (B, D)."""

    def error(sums: Residuals) -> tuple[Tensor, Tensor]:
        weighted = weighted_error(sums.plain, sums.masked, alpha).reshape(2, *found.time.shape)
        return weighted[0], weighted[1]

    (policy_winner, policy_loser), (reference_winner, reference_loser) = error(found.policy), error(found.reference)
    return margin(policy_winner, reference_winner, policy_loser, reference_loser)


def _by_quartile(margins: Tensor, time: Tensor) -> list[Tensor]:
    """Mean margin of a pair's draws in each quarter of [0, 1], NaN where it has none."""
    quarter = (time * QUARTILES).long().clamp(0, QUARTILES - 1)
    nothing = torch.full_like(margins, torch.nan)
    return [torch.where(quarter == index, margins, nothing).nanmean(dim=1) for index in range(QUARTILES)]


def _weighted_rise(found: StepErrors, alpha: float) -> list[Tensor]:
    count, repeats = found.time.shape
    policy = weighted_error(found.policy.plain, found.policy.masked, alpha).reshape(2, count, repeats).mean(dim=2)
    held = weighted_error(found.reference.plain, found.reference.masked, alpha).reshape(2, count, repeats).mean(dim=2)
    return [policy[0] - held[0], policy[1] - held[1], held[0], held[1]]


@dataclass
class FleeWatch:
    """Notices when the margin grows because the loser gets worse faster than the winner, instead of the winner better.

    Smooths delta and the winner's relative rise over about ``window`` steps and compares with their values one window
    before. ``bound`` is the relative rise of the winner's weighted error below which nothing is said.
    """

    window: int = 20
    bound: float = 0.02
    steps: int = 0
    delta: float = 0.0
    rise: float = 0.0
    past_delta: float = 0.0
    past_rise: float = 0.0
    fleeing: bool = False

    def update(self, row: Mapping[str, float | None]) -> bool:
        """Take one step's row; True at the step at which a flight is first noticed (again after it has ended)."""
        reference = row["reference_winner"] or 1.0
        rate = max(1 / self.window, 1 / (self.steps + 1))
        self.delta += rate * ((row["delta"] or 0.0) - self.delta)
        self.rise += rate * ((row["winner_rise"] or 0.0) / reference - self.rise)
        self.steps += 1
        if self.steps % self.window:
            return False
        now = self.delta > max(self.past_delta, 0.0) and self.rise > max(self.past_rise, self.bound)
        fresh = now and not self.fleeing
        self.fleeing, self.past_delta, self.past_rise = now, self.delta, self.rise
        return fresh
