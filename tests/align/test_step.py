"""Errors of models with known offsets, worked by hand, and the formula of diffusers' own script."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from asap.align.batch import NoiseSamples, Slots, sample_noise
from asap.align.methods import resolve_method
from asap.align.metrics import COLUMNS, per_pair, summarize
from asap.align.policy import Denoise
from asap.align.step import Objective, StepResult, evaluate, fresh_reference
from asap.backbones.protocol import TextCondition
from tests.align.fakes import SHAPE, MemoryPairs, StraightPath, alignment, gradient

PAIRS, SAMPLES = 3, 2
INSIDE = 9 / 64


def result(policy: float | Tensor, reference: float | Tensor) -> StepResult:
    """``asap`` on a policy and a reference whose predictions are the target plus these offsets, of (R, 1, 1, 1)."""
    batch = MemoryPairs(PAIRS).batch(range(PAIRS))
    noise = NoiseSamples(
        noise=torch.randn(PAIRS, SAMPLES, *SHAPE, generator=torch.Generator().manual_seed(0)),
        time=torch.tensor([[0.1, 0.9], [0.3, 0.6], [0.05, 0.2]]),
    )
    clean = torch.cat([batch.chosen, batch.rejected]).repeat_interleave(SAMPLES, dim=0)
    target = noise.noise.flatten(0, 1).repeat(2, 1, 1, 1) - clean

    def known(offset: float | Tensor) -> Denoise:
        def run(x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
            expected = StraightPath().mix(clean, noise.noise.flatten(0, 1).repeat(2, 1, 1, 1), t)
            assert torch.equal(x_t, expected)
            assert torch.equal(t[: len(t) // 2], t[len(t) // 2 :])
            assert torch.equal(condition.tensors["text"][0], condition.tensors["text"][PAIRS * SAMPLES])
            return target + offset

        return run

    method, settings = resolve_method("asap", {"scale": "none"})
    objective = Objective(
        policy=known(policy),
        reference=fresh_reference(known(reference), nullcontext),
        path=StraightPath(),
        method=method,
        settings=settings,
        autocast=nullcontext,
        weights=(),
    )
    return evaluate(objective, batch, noise)


def logged(found: StepResult) -> dict[str, float | None]:
    return summarize([per_pair(found, alpha=10.0, target_margin=0.01)])


def whole(value: float) -> Tensor:
    return torch.full((PAIRS,), value, dtype=torch.float64)


def close(left: Tensor, right: Tensor) -> None:
    """Equal but for the rounding of float32 predictions."""
    torch.testing.assert_close(left.double(), right, rtol=1e-5, atol=1e-6)


def sides(chosen: float, rejected: float) -> Tensor:
    rows = PAIRS * SAMPLES
    return torch.cat([torch.full((rows,), chosen), torch.full((rows,), rejected)]).reshape(-1, 1, 1, 1)


def test_constant_offsets_give_exact_errors() -> None:
    """Offset a everywhere: E = a^2 (1 + alpha * 9/64). Policy 0.1/0.4, reference 0.2/0.3: delta = (.03 + .07) W."""
    found = result(sides(0.1, 0.4), sides(0.2, 0.3))
    weight = 1 + 10 * INSIDE
    close(found.errors.policy_chosen, whole(0.01 * weight))
    close(found.errors.reference_rejected, whole(0.09 * weight))
    close(found.losses.delta, whole(0.10 * weight))
    close(found.errors.mask_share, whole(INSIDE))


def test_log_row_by_hand() -> None:
    """The policy is off by 0.2 inside the mask of the chosen side alone; the reference by 0.1 everywhere.

    Chosen inside: 0.04 - 0.01 = 0.03; outside: 0 - 0.01. Rejected: -0.01 inside and outside.
    Weighted by alpha 10: chosen 0.04*11*f - 0.01*(1 + 10 f), rejected -0.01*(1 + 10 f).
    """
    mask = MemoryPairs(PAIRS).mask.repeat_interleave(SAMPLES, dim=0)
    row = logged(result(torch.cat([0.2 * mask, 0.0 * mask]), 0.1))
    held = 0.01 * (1 + 10 * INSIDE)
    expected = {
        "winner_rise_inside": 0.03,
        "winner_rise_outside": -0.01,
        "loser_rise_inside": -0.01,
        "loser_rise_outside": -0.01,
        "winner_rise": 0.44 * INSIDE - held,
        "loser_rise": -held,
        "reference_winner": held,
        "delta": -0.44 * INSIDE,
        "accuracy": 0.0,
        "above_tau": 0.0,
        "loss": (-0.44 * INSIDE / 0.01 - 1) ** 2,
        "delta_t0": -0.44 * INSIDE,
        "delta_t3": -0.44 * INSIDE,
    }
    for name, value in expected.items():
        got = row[name]
        assert got is not None
        torch.testing.assert_close(torch.tensor(got), torch.tensor(value), atol=1e-5, rtol=1e-4, msg=name)
    assert set(row) == ({*COLUMNS, "norm_ratio"} - {"policy_power", "reference_power"})


def test_a_quarter_without_samples_is_none() -> None:
    row = summarize([per_pair(result(0.1, 0.1), alpha=10.0, target_margin=0.01)[2:]])
    assert row["delta_t0"] == 0.0
    assert row["delta_t1"] is None
    assert row["delta_t3"] is None


# --- the formula of diffusers' script, written again


def diffusers_dpo(
    model: Callable[[Tensor, Tensor, Tensor], Tensor],
    reference: Callable[[Tensor, Tensor, Tensor], Tensor],
    inputs: tuple[Tensor, Tensor, Tensor],
    target: Tensor,
    beta_dpo: float,
) -> Tensor:
    """The objective of train_diffusion_dpo_sdxl.py: chosen in the first half of the rows, rejected in the second.

    Per row the mean of the squared residual; inside = -beta/2 * ((w - l) of the model - (w - l) of the reference); the
    loss is the mean of -log sigmoid(inside).
    """

    def gap(prediction: Tensor) -> Tensor:
        error = ((prediction - target) ** 2).flatten(1).double().mean(1)
        half = len(error) // 2
        return error[:half] - error[half:]

    with torch.no_grad():
        held = gap(reference(*inputs))
    inside = -0.5 * beta_dpo * (gap(model(*inputs)) - held)
    return torch.log1p(torch.exp(-inside)).mean()


def test_dpo_is_that_of_diffusers_script() -> None:
    """Loss and gradient within 1e-6 in float32 at k = beta_dpo / 2 = 2500, alpha 0, the same noise and timesteps."""
    beta_dpo = 5000.0
    run = alignment("dpo", lora=True, batch_size=3, lr=1e-4, loss={"beta": beta_dpo / 2})
    list(run.steps(until=2))  # so that delta is not 0
    task = run.task
    ours, loss = gradient(run, 2), task.backward(2)["loss"]
    task.optimizer.zero_grad()

    pairs = task.sampler.step_pairs(2).pairs
    batch = task.source.batch(pairs)
    slots = Slots(step=2, places=(0, 1, 2), pairs=pairs, batch=3, total=20, start=6)
    sampled = sample_noise(StraightPath(), SHAPE, slots, seed=task.settings.seed, samples=1)
    clean = torch.cat([batch.chosen, batch.rejected])
    noise, time = torch.cat([sampled.noise[:, 0]] * 2), torch.cat([sampled.time[:, 0]] * 2)
    share = time.reshape(-1, 1, 1, 1)
    inputs = ((1 - share) * clean + share * noise, time, torch.cat([batch.condition.tensors["text"]] * 2))
    unet: Any = task.policy.denoiser

    def model(x: Tensor, t: Tensor, text: Tensor) -> Tensor:
        return unet(x, t * 1000, encoder_hidden_states=text).sample  # type: ignore[no-any-return]

    def held(x: Tensor, t: Tensor, text: Tensor) -> Tensor:
        unet.disable_adapters()
        try:
            return model(x, t, text)
        finally:
            unet.enable_adapters()

    expected = diffusers_dpo(model, held, inputs, noise - clean, beta_dpo)
    expected.backward()  # type: ignore[no-untyped-call]
    expected = expected.detach()
    assert float(expected) != pytest.approx(math.log(2), abs=1e-3)
    assert loss == pytest.approx(float(expected), abs=1e-6)
    largest = max(float(value.grad.abs().max()) for value in task.weights.values() if value.grad is not None)
    for name, value in task.weights.items():
        assert value.grad is not None
        assert float((ours[name] - value.grad).abs().max()) <= 1e-6 * largest, name
