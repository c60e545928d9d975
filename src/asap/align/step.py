"""One training step: noised rows -> errors of reference and policy -> loss of each pair -> gradient.

Legend: B pairs, D noise samples per pair, R = 2*B*D rows, see ``align.errors``.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from asap.align.batch import NoiseSamples, PairBatch
from asap.align.errors import NoisedRows, NoisePath, RowErrors, add_noise, row_errors
from asap.align.methods import LossSettings, Method, PairErrors, PairLosses, pair_losses
from asap.align.policy import Denoise

__all__ = ["Objective", "StepResult", "compare", "evaluate", "fresh_reference", "one_pass", "policy_errors"]

Autocast = Callable[[], AbstractContextManager[None]]
"""A new autocast context for each forward: its cache of cast weights must not reach from the reference's forward,
which has no gradient, into the policy's."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What a step optimizes, apart from its batch."""

    policy: Denoise
    reference: Callable[[NoisedRows], RowErrors]
    """Errors of the frozen reference: fresh, or from a cache."""
    path: NoisePath
    method: Method
    settings: LossSettings
    autocast: Autocast
    weights: Sequence[torch.nn.Parameter]
    """The trained ones."""


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """Errors and losses of B pairs."""

    policy: RowErrors
    """(2, B, D): chosen and rejected."""
    reference: RowErrors
    """(2, B, D)."""
    errors: PairErrors
    losses: PairLosses
    time: Tensor
    """(B, D)."""
    visible_share: float
    skipped: int = 0
    """Pairs whose backward was left out because its gradient is zero."""

    def detached(self) -> "StepResult":
        """The same without graph and predictions."""
        chosen, rejected = self.errors.policy_chosen.detach(), self.errors.policy_rejected.detach()
        return replace(
            self,
            policy=RowErrors.unpack(self.policy.packed()),
            errors=replace(self.errors, policy_chosen=chosen, policy_rejected=rejected),
            losses=replace(self.losses, loss=self.losses.loss.detach()),
        )


def one_pass(objective: Objective, batch: PairBatch, noise: NoiseSamples, share: float) -> StepResult:
    """Add the gradient of ``share`` times the sum of the pairs' losses to the weights, in one forward and backward."""
    result = evaluate(objective, batch, noise)
    (share * result.losses.loss.sum()).backward()  # type: ignore[no-untyped-call]
    return result.detached()


def evaluate(objective: Objective, batch: PairBatch, noise: NoiseSamples) -> StepResult:
    """Errors and losses of a batch, with gradient where it is enabled."""
    rows = add_noise(objective.path, batch, noise)
    reference = objective.reference(rows)
    policy = policy_errors(objective, rows, reference)
    return compare(objective, rows, policy, reference)


def policy_errors(objective: Objective, rows: NoisedRows, reference: RowErrors) -> RowErrors:
    """Errors (R,) of the policy, or of what the method makes of policy and reference."""
    with objective.autocast():
        prediction = objective.policy(rows.noised, rows.time, rows.condition)
    if objective.method.combine is not None:
        assert reference.prediction is not None
        is_chosen = rows.is_chosen.reshape(-1, 1, 1, 1)
        prediction = objective.method.combine(prediction.float(), reference.prediction, is_chosen)
    return row_errors(prediction, rows)


def compare(objective: Objective, rows: NoisedRows, policy: RowErrors, reference: RowErrors) -> StepResult:
    """Weighted errors, averaged over noise samples, and losses of the rows' pairs."""
    policy, reference = policy.by_pair(rows.samples), reference.by_pair(rows.samples)
    policy_chosen, policy_rejected = policy.weighted(objective.settings.alpha).mean(dim=2)
    reference_chosen, reference_rejected = reference.weighted(objective.settings.alpha).mean(dim=2)
    chosen_rows = slice(len(rows.time) // 2)
    errors = PairErrors(
        policy_chosen=policy_chosen,
        reference_chosen=reference_chosen,
        policy_rejected=policy_rejected,
        reference_rejected=reference_rejected,
        mask_share=rows.mask[chosen_rows][:: rows.samples].mean(dim=(1, 2, 3)) * rows.visible_share,
    )
    return StepResult(
        policy=policy,
        reference=reference,
        errors=errors,
        losses=pair_losses(objective.method, errors, objective.settings),
        time=rows.time[chosen_rows].reshape(-1, rows.samples),
        visible_share=rows.visible_share,
    )


def fresh_reference(reference: Denoise, autocast: Autocast) -> Callable[[NoisedRows], RowErrors]:
    """Errors (R,) of a forward of the reference."""

    def errors(rows: NoisedRows) -> RowErrors:
        with torch.no_grad(), autocast():
            prediction = reference(rows.noised, rows.time, rows.condition)
        return row_errors(prediction, rows)

    return errors
