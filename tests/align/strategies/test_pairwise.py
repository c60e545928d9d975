"""Strategies and settings for speed and memory do not change the training."""

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from asap.align.methods import PairErrors, pair_losses, resolve_method
from asap.align.strategies.pairwise import loss_derivatives
from tests.align.fakes import Alignment, alignment, weights
from tests.align.memory import peak
from tests.align.runs import EQUAL, difference, taken

SETTINGS: dict[str, dict[str, Any]] = {
    "two_pass": {"gradient": "two_pass"},
    "two_pass_samples": {"gradient": "two_pass", "noise_samples": 2, "method": "dpo"},
    "split": {"batch_size": 1, "grad_accum": 2},
    "two_pass_split": {"gradient": "two_pass", "batch_size": 1, "grad_accum": 2},
    "skip": {"skip_satisfied": True, "method": "asap_hinge"},
    "skip_two_pass": {"skip_satisfied": True, "gradient": "two_pass", "method": "asap_hinge"},
    "checkpointing": {"checkpointing": True},
}
SPEED = ("gradient", "skip_satisfied", "checkpointing", "batch_size", "grad_accum")
QUICK = ("two_pass", "split")


@cache
def plain(method: str = "asap", noise_samples: int = 1) -> Alignment:
    """The run in one pass."""
    return taken(method, noise_samples=noise_samples, loss={"target_margin": 0.5})


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in SETTINGS])
def test_weights_are_those_of_one_pass(name: str) -> None:
    """After twenty steps of AdamW in float32, within 1e-6, where training moves them a thousand times that."""
    chosen = {"loss": {"target_margin": 0.5}, **SETTINGS[name]}
    start = plain(**{key: value for key, value in SETTINGS[name].items() if key not in SPEED})
    assert difference(start, taken(**chosen)) <= EQUAL
    assert difference(alignment(lora=True), start) > 1000 * EQUAL


@pytest.mark.slow
def test_full_training_in_two_passes_changes_no_weight() -> None:
    settings: dict[str, Any] = {"lora": False, "lr": 1e-6, "steps": 3, "loss": {"target_margin": 0.5}}
    assert difference(taken(**settings), taken(**settings, gradient="two_pass")) <= EQUAL


def test_skipped_pairs_are_those_past_the_margin() -> None:
    """With a margin that every pair reaches at once nothing has a gradient, and the weights stay."""
    run = alignment("asap_hinge", lora=True, skip_satisfied=True, batch_size=3, loss={"target_margin": 1e-9}, lr=1e-2)
    start = weights(run)
    first = run.step()
    later = [run.step() for _ in range(3)]
    assert first["skipped"] == 0
    assert any((row["skipped"] or 0) > 0 for row in later)
    assert any(not torch.equal(start[name], value) for name, value in weights(run).items())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_two_passes_start_at_a_delta_of_zero(precision: str) -> None:
    """Two noise samples of a pair are four rows, and the reference runs them one by one as the policy does."""
    run = alignment(lora=True, batch_size=1, noise_samples=2, gradient="two_pass", precision=precision)
    rows: list[int] = []
    run.task.policy.denoiser.register_forward_hook(lambda _module, given, _output: rows.append(len(given[0])))
    assert run.step()["delta"] == 0
    assert rows == [1] * 8


def test_two_passes_hold_one_image() -> None:
    """Bytes that autograd keeps at the peak: two passes hold at most 0.6 of one pass on a single pair."""
    one, _ = peak(alignment(lora=True, batch_size=1))
    two, _ = peak(alignment(lora=True, batch_size=1, gradient="two_pass"))
    assert two <= 0.6 * one


@pytest.mark.parametrize("name", ["sft", "dpo", "ipo", "asap", "asap_hinge"])
@pytest.mark.parametrize("anchor", [0.0, 4.0])
def test_derivatives_are_those_of_the_loss(name: str, anchor: float) -> None:
    method, settings = resolve_method(name, {"anchor": anchor})

    def one(value: float) -> Tensor:
        return torch.tensor([value, value * 1.01], dtype=torch.float64)

    errors = PairErrors(
        policy_chosen=one(0.101).requires_grad_(),
        reference_chosen=one(0.1),
        policy_rejected=one(0.102).requires_grad_(),
        reference_rejected=one(0.1),
        mask_share=one(0.05),
    )
    losses = pair_losses(method, errors, settings).loss
    expected = torch.autograd.grad(losses.sum(), (errors.policy_chosen, errors.policy_rejected), allow_unused=True)
    for found, want in zip(loss_derivatives(method, errors, settings), expected, strict=True):
        assert torch.equal(found, torch.zeros_like(found) if want is None else want)
