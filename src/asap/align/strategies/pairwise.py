"""Gradients pair by pair: the same gradient as in one pass, with the activations of one image or fewer backwards.

A loss depends on the network only through the two errors of each pair, so its gradient is

    dL = (dL/dE_chosen) * grad E_chosen + (dL/dE_rejected) * grad E_rejected

with two numbers per pair, ``loss_derivatives``, that are known once both errors are.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TypeVar

import torch
from torch import Tensor

from asap.align.batch import NoiseSamples, PairBatch
from asap.align.errors import NoisedRows, RowErrors, add_noise
from asap.align.methods import LossSettings, Method, PairErrors, PairLosses, pair_losses
from asap.align.step import Objective, StepResult, compare, policy_errors

__all__ = ["loss_derivatives", "skip_satisfied", "two_pass"]

Tensors = TypeVar("Tensors", PairErrors, PairLosses)
Buffer = list[Tensor | None]
"""A gradient for each trained weight; None counts as 0."""


def loss_derivatives(method: Method, errors: PairErrors, settings: LossSettings) -> tuple[Tensor, Tensor]:
    """dL/dE of the chosen and of the rejected side, each (B,), where L is the pair's own loss."""
    chosen, rejected = (side.detach().requires_grad_() for side in (errors.policy_chosen, errors.policy_rejected))
    leaves = replace(errors, policy_chosen=chosen, policy_rejected=rejected)
    with torch.enable_grad():
        losses = pair_losses(method, leaves, settings)
        found = torch.autograd.grad(losses.loss.sum(), (chosen, rejected), allow_unused=True)
    first, second = (torch.zeros_like(chosen) if value is None else value for value in found)
    return first, second


def skip_satisfied(objective: Objective, batch: PairBatch, noise: NoiseSamples, share: float) -> StepResult:
    """``step.one_pass`` pair by pair, without a backward where the gradient is zero (a hinge past its margin)."""
    results = []
    for rows in add_noise(objective.path, batch, noise).by_pair():
        reference = objective.reference(rows)
        result = compare(objective, rows, policy_errors(objective, rows, reference), reference)
        chosen, rejected = loss_derivatives(objective.method, result.errors, objective.settings)
        skipped = not bool((chosen.any() | rejected.any()).item())
        if not skipped:
            (share * result.losses.loss.sum()).backward()  # type: ignore[no-untyped-call]
        results.append(replace(result.detached(), skipped=int(skipped)))
    return _join(results)


def two_pass(objective: Objective, batch: PairBatch, noise: NoiseSamples, share: float) -> StepResult:
    """``step.one_pass`` row by row: the activations of one image, and two buffers of the size of the trained weights.

    The gradients of E_chosen and E_rejected are accumulated apart, and joined once the loss derivatives are known.
    """
    rows = add_noise(objective.path, batch, noise)
    return _join([_two_pass(objective, pair, share) for pair in rows.by_pair()])


def _two_pass(objective: Objective, rows: NoisedRows, share: float) -> StepResult:
    """One pair. The reference runs row by row as the policy does, so that delta is exactly 0 before the first step."""
    singles = [rows.pick([row]) for row in range(2 * rows.samples)]
    references = [objective.reference(row) for row in singles]
    buffers: list[Buffer] = [[None] * len(objective.weights) for _ in range(2)]

    def accumulate(number: int, errors: RowErrors) -> None:
        error = errors.weighted(objective.settings.alpha).sum() * (share / rows.samples)
        gradients = torch.autograd.grad(error, list(objective.weights), allow_unused=True)
        side = number // rows.samples
        buffers[side] = [_sum(kept, value) for kept, value in zip(buffers[side], gradients, strict=True)]

    policy: list[RowErrors] = []
    for number, (row, reference) in enumerate(zip(singles[:-1], references[:-1], strict=True)):
        errors = policy_errors(objective, row, reference)
        accumulate(number, errors)
        policy.append(RowErrors.unpack(errors.packed()))
    last = policy_errors(objective, singles[-1], references[-1])
    result = compare(objective, rows, _cat_rows([*policy, last]), _cat_rows(references)).detached()
    derivatives = loss_derivatives(objective.method, result.errors, objective.settings)
    if derivatives[1].any():
        accumulate(len(singles) - 1, last)
    for derivative, buffer in zip(derivatives, buffers, strict=True):
        if derivative.any():
            _add_gradient(objective.weights, buffer, derivative)
    return replace(result, skipped=int(not derivatives[1].any()))


def _sum(kept: Tensor | None, value: Tensor | None) -> Tensor | None:
    if kept is None or value is None:
        return value if kept is None else kept
    return kept + value


def _add_gradient(weights: Sequence[torch.nn.Parameter], buffer: Buffer, derivative: Tensor) -> None:
    """Add ``derivative`` (1,) times the buffered gradients to those of the weights."""
    for weight, value in zip(weights, buffer, strict=True):
        if value is not None:
            scaled = value * derivative.to(value.dtype)
            weight.grad = scaled if weight.grad is None else weight.grad.add_(scaled)


def _join(results: Sequence[StepResult]) -> StepResult:
    """Results of single pairs as one result of all of them."""
    return StepResult(
        policy=RowErrors.unpack(torch.cat([result.policy.packed() for result in results], dim=1)),
        reference=RowErrors.unpack(torch.cat([result.reference.packed() for result in results], dim=1)),
        errors=_cat([result.errors for result in results]),
        losses=_cat([result.losses for result in results]),
        time=torch.cat([result.time for result in results]),
        visible_share=results[0].visible_share,
        skipped=sum(result.skipped for result in results),
    )


def _cat_rows(errors: Sequence[RowErrors]) -> RowErrors:
    return RowErrors.unpack(torch.cat([value.packed() for value in errors]))


def _cat(items: Sequence[Tensors]) -> Tensors:
    """Field by field."""
    names = [item.name for item in fields(items[0])]
    return type(items[0])(**{name: torch.cat([getattr(item, name) for item in items]) for name in names})
