"""How the gradient of a micro-batch gets into the weights: in one pass, or exactly in two with one image's activations.

A loss looks at the network only through the two errors of each pair, so that its gradient is

    dL = (dL/dE_w) * grad E_w + (dL/dE_l) * grad E_l          two numbers a pair, known once both errors are

``one_pass`` keeps the graphs of winner and loser until the numbers are known. ``two_pass`` takes grad E_w and grad E_l
one row after the other, each into a buffer of the size of the trained weights, and joins them afterwards: the same
gradient, no forward more, and the activations of one image. Where both numbers of a pair are exactly zero (a hinge past
its margin), ``skip`` spares the backward.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from torch import Tensor

from asap.align.batch import Draws, PairBatch
from asap.align.loss import weighted_error
from asap.align.methods import LossSettings, Method, PairErrors, pair_losses
from asap.align.policy import Denoise
from asap.align.step import (
    NoisePath,
    Residuals,
    Rows,
    StepErrors,
    alignment,
    assemble,
    complete,
    pair_errors,
    unknown,
    wide,
)

__all__ = ["GradientMode", "Gradients", "Look", "slopes"]

GradientMode = Literal["one_pass", "two_pass"]
Buffer = list[Tensor | None]


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a micro-batch came to, for the log and the reference bank."""

    found: StepErrors
    losses: Tensor
    """(B,), without gradient."""
    terms: dict[str, Tensor]
    skipped: int = 0
    """Pairs whose backward was spared, wholly or (in two passes) on the loser's side."""


def slopes(
    method: Method, errors: PairErrors, settings: LossSettings
) -> tuple[Tensor, dict[str, Tensor], Tensor, Tensor]:
    """Losses (B,), terms to log, and dL/dE_w and dL/dE_l (B,) of each pair's own loss; nothing reaches the network."""
    winner, loser = (side.detach().requires_grad_() for side in (errors.policy_winner, errors.policy_loser))
    leaves = PairErrors(
        policy_winner=winner,
        reference_winner=errors.reference_winner,
        policy_loser=loser,
        reference_loser=errors.reference_loser,
        mask_share=errors.mask_share,
        alignment=errors.alignment,
    )
    with torch.enable_grad():
        losses, terms = pair_losses(method.shape, leaves, settings)
        found = torch.autograd.grad(losses.sum(), (winner, loser), allow_unused=True)
    ours, theirs = (torch.zeros_like(winner) if slope is None else slope for slope in found)
    return losses.detach(), {name: value.detach() for name, value in terms.items()}, ours, theirs


@dataclass(frozen=True, kw_only=True)
class Gradients:
    """Takes gradients of one method by one mode."""

    policy: Denoise
    reference: Denoise
    path: NoisePath
    method: Method
    loss: LossSettings
    weights: Sequence[torch.nn.Parameter]
    cast: Callable[[], AbstractContextManager[None]]
    """A fresh autocast context."""
    backward: Callable[[Tensor], None]
    """Runs the backward of a scalar (accelerate's, so that wrapped models see it)."""
    mode: GradientMode = "one_pass"
    batched: bool = True
    """One pass: winners and losers in one forward; False: in two."""
    exact: bool = False
    """Forwards compute in float32."""
    skip: bool = False
    """Pairs run one by one, and one whose gradient is exactly zero has no backward."""

    def take(self, batch: PairBatch, draws: Draws, known: Tensor | None, share: float) -> Look:
        """Add the gradient of ``share`` times the sum of the pairs' losses to the weights.

        Args:
            batch: B pairs.
            draws: their noise and times.
            known: packed residuals of the reference (R, 3), NaN where unknown; None: all unknown.
            share: weight of one pair, 1 / (pairs a step), times the loss scale of float16.
        """
        rows = assemble(self.path, batch, draws)
        device = rows.target.device
        held = unknown(len(rows.time), device) if known is None else known.to(device, wide(device))
        shares = batch.mask.mean(dim=(1, 2, 3)) * batch.seen
        if self.mode == "one_pass" and not self.skip:
            return self._one_pass(rows, held, shares, draws.time, share)
        step = self._two_pass if self.mode == "two_pass" else self._one_pass
        count, repeats = draws.time.shape
        looks = []
        for pair in range(count):
            own = [side * count * repeats + pair * repeats + k for side in (0, 1) for k in range(repeats)]
            one = slice(pair, pair + 1)
            looks.append(step(rows.pick(own), held[own], shares[one], draws.time[one], share))
        return _joined(looks)

    def _one_pass(self, rows: Rows, held: Tensor, shares: Tensor, time: Tensor, share: float) -> Look:
        reference = self._reference(rows, held, together=self.batched)
        sums, difference = self._look(rows, together=self.batched)
        errors = self._errors(sums, reference, difference, rows, shares, time)
        losses, terms, ours, theirs = slopes(self.method, pair_errors(errors, self.loss.alpha), self.loss)
        if self.skip and not bool((ours.any() | theirs.any()).item()):
            return Look(found=_detached(errors), losses=losses, terms=terms, skipped=len(losses))
        graph = pair_errors(errors, self.loss.alpha)
        self.backward(share * (ours * graph.policy_winner + theirs * graph.policy_loser).sum())
        return Look(found=_detached(errors), losses=losses, terms=terms)

    def _two_pass(self, rows: Rows, held: Tensor, shares: Tensor, time: Tensor, share: float) -> Look:
        """One pair (rows of one winner, then of one loser), a row at a time."""
        repeats = time.shape[1]
        reference = self._reference(rows, held, together=False)
        gradients: list[Buffer] = [[None] * len(self.weights) for _ in range(2)]
        packed, differences = [], []
        for row in range(2 * repeats):
            sums, difference = rows.pick([row]).look(self.policy, self.cast())
            packed.append(sums.packed())
            differences.append(difference)
            if row == 2 * repeats - 1:
                found = self._errors(
                    Residuals.unpack(torch.cat(packed)), reference, torch.cat(differences), rows, shares, time
                )
                losses, terms, *both = slopes(self.method, pair_errors(found, self.loss.alpha), self.loss)
                if not both[1].any():
                    break
            error = weighted_error(sums.plain, sums.masked, self.loss.alpha).sum() * (share / repeats)
            side = row // repeats
            gradients[side] = _gather(
                gradients[side], torch.autograd.grad(error, list(self.weights), allow_unused=True)
            )
        for slope, buffer in zip(both, gradients, strict=True):
            if slope.any():
                _add(self.weights, buffer, slope)
        return Look(found=found, losses=losses, terms=terms, skipped=int(not both[1].any()))

    def _reference(self, rows: Rows, held: Tensor, *, together: bool) -> Tensor:
        """Packed residuals of the reference, run on the same numbers of rows as the policy.

        In two passes in float32 all rows are run together, which is faster and changes nothing but rounding: without
        a graph that takes less than the activations of one image. In fewer bits rounding would show in delta.
        """
        if not held.isnan().any():
            return held
        if self.mode == "two_pass" and not self.exact:
            singles = [
                complete(held[row : row + 1], rows.pick([row]), self.reference, self.cast()) for row in range(len(held))
            ]
            return torch.cat(singles)
        if together or self.mode == "two_pass":
            return complete(held, rows, self.reference, self.cast())
        parts = [complete(held[part], rows.pick(part), self.reference, self.cast()) for part in _halves(len(held))]
        return torch.cat(parts)

    def _look(self, rows: Rows, *, together: bool) -> tuple[Residuals, Tensor]:
        if together:
            return rows.look(self.policy, self.cast())
        (winner, own), (loser, other) = (
            rows.pick(part).look(self.policy, self.cast()) for part in _halves(len(rows.time))
        )
        return _cat(winner, loser), torch.cat([own, other])

    def _errors(
        self, sums: Residuals, reference: Tensor, difference: Tensor, rows: Rows, shares: Tensor, time: Tensor
    ) -> StepErrors:
        return StepErrors(
            policy=sums,
            reference=Residuals.unpack(reference),
            alignment=alignment(difference * (1 + self.loss.alpha * rows.mask), *time.shape),
            mask_share=shares,
            time=time,
            seen=rows.seen,
        )


def _halves(count: int) -> tuple[list[int], list[int]]:
    """Row numbers of winners and of losers."""
    return list(range(count // 2)), list(range(count // 2, count))


def _gather(buffer: Buffer, gradients: Sequence[Tensor | None]) -> Buffer:
    """``buffer`` plus ``gradients``; None counts as 0."""
    return [
        value if kept is None else kept if value is None else kept + value
        for kept, value in zip(buffer, gradients, strict=True)
    ]


def _add(weights: Sequence[torch.nn.Parameter], buffer: Buffer, slope: Tensor) -> None:
    """Add ``slope`` (1,) times the buffered gradients to those of the weights."""
    reached = [(weight, value) for weight, value in zip(weights, buffer, strict=True) if value is not None]
    if not reached:
        return
    scaled = torch._foreach_mul([value for _, value in reached], slope.squeeze())
    old = [(weight.grad, value) for (weight, _), value in zip(reached, scaled, strict=True) if weight.grad is not None]
    for (weight, _), value in zip(reached, scaled, strict=True):
        if weight.grad is None:
            weight.grad = value
    if old:
        torch._foreach_add_([grad for grad, _ in old], [value for _, value in old])


def _cat(first: Residuals, second: Residuals) -> Residuals:
    pairs = ((getattr(first, item.name), getattr(second, item.name)) for item in fields(Residuals))
    plain, masked, power = (torch.cat(both) for both in pairs)
    return Residuals(plain=plain, masked=masked, power=power)


def _detached(found: StepErrors) -> StepErrors:
    """``found`` without the policy's graph."""
    return replace(found, policy=Residuals.unpack(found.policy.packed()))


def _joined(looks: Sequence[Look]) -> Look:
    """Looks at single pairs as one look at all of them: winners first, then losers."""
    repeats = looks[0].found.time.shape[1]

    def rows(sides: Sequence[Residuals]) -> Residuals:
        packed = torch.stack([side.packed() for side in sides]).reshape(len(sides), 2, repeats, 3)
        return Residuals.unpack(packed.transpose(0, 1).flatten(0, 2))

    found = StepErrors(
        policy=rows([look.found.policy for look in looks]),
        reference=rows([look.found.reference for look in looks]),
        alignment=torch.cat([look.found.alignment for look in looks]),
        mask_share=torch.cat([look.found.mask_share for look in looks]),
        time=torch.cat([look.found.time for look in looks]),
        seen=looks[0].found.seen,
    )
    return Look(
        found=found,
        losses=torch.cat([look.losses for look in looks]),
        terms={name: torch.cat([look.terms[name] for look in looks]) for name in looks[0].terms},
        skipped=sum(look.skipped for look in looks),
    )
