"""Invariants of a trajectory: where it starts, how it splits, how it resumes, when it stops."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from asap.core.errors import ConfigError, TrainingError
from asap.stores.checkpoints import CheckpointStore
from asap.stores.references import ReferenceStore
from tests.align.fakes import MemoryPairs, alignment, assert_same, gradient, weights

BOTH = pytest.mark.parametrize("lora", [True, False], ids=["lora", "full"])


@BOTH
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_delta_is_exactly_zero_at_step_0_and_not_later(lora: bool, precision: str) -> None:
    run = alignment("asap", lora=lora, precision=precision, lr=1e-2)
    rows = list(run.steps(until=3))
    assert rows[0]["delta"] == 0.0
    assert rows[0]["winner_rise"] == 0.0
    assert rows[0]["loss"] == 1.0
    assert rows[0]["norm_ratio"] == 1.0
    assert rows[2]["delta"] != 0.0


@BOTH
def test_plain_dpo_starts_at_ln_2(lora: bool) -> None:
    assert alignment("dpo", lora=lora).step()["loss"] == pytest.approx(math.log(2), abs=1e-6)


def test_only_the_adapter_moves() -> None:
    run = alignment(lora=True)
    before = {name: value.clone() for name, value in run.task.policy.state_dict().items()}
    list(run.steps(until=2))
    moved = {name for name, value in run.task.policy.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert all("lora_" in name for name in moved)


@BOTH
@pytest.mark.parametrize("method", ["asap", "dpo"])
def test_batch_8x1_equals_4x2(lora: bool, method: str) -> None:
    """Gradients agree to rounding, and so do the weights after three steps.

    Adam divides by the gradient's size, so a weight that has hardly any is moved by rounding alone, by up to lr a step;
    hence a learning rate as small as real ones. float32 forwards leave delta an error of 4e-8, which a beta of 5000
    would turn into 2e-4 of the logit, more than what is compared here.
    """
    settings: dict[str, object] = {"lora": lora, "lr": 1e-5, "loss": {"target_margin": 0.5, "beta": 500.0}}
    whole = alignment(method, **settings, batch_size=8, grad_accum=1)  # type: ignore[arg-type]
    split = alignment(method, **settings, batch_size=4, grad_accum=2)  # type: ignore[arg-type]
    assert_gradients_agree(gradient(whole), gradient(split))
    start = weights(whole)
    for one, two in zip(whole.steps(until=3), split.steps(until=3), strict=True):
        for key in ("loss", "delta", "grad_norm", "winner_rise_inside"):
            assert one[key] == pytest.approx(two[key], rel=1e-4, abs=1e-5), key
    for name, value in weights(whole).items():
        torch.testing.assert_close(value, weights(split)[name], atol=1e-5, rtol=0)
    assert any((value - start[name]).abs().max() > 1.5e-5 for name, value in weights(whole).items())


def assert_gradients_agree(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    largest = max(float(value.abs().max()) for value in left.values())
    assert largest > 0
    for name, value in left.items():
        torch.testing.assert_close(value, right[name], atol=1e-5 * largest, rtol=0, msg=name)


@BOTH
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_resumed_equals_uninterrupted(lora: bool, ema: float, tmp_path: object) -> None:
    whole = alignment(lora=lora, ema=ema, noise_samples=2, warmup=4)
    expected = list(whole.steps())
    first = alignment(lora=lora, ema=ema, noise_samples=2, warmup=4)
    rows = list(first.steps(until=3))
    store = CheckpointStore(tmp_path / "state")  # type: ignore[operator]
    store.save(first.done, first.state())
    list(first.steps(until=5))
    second = alignment(lora=lora, ema=ema, noise_samples=2, warmup=4)
    kept = store.latest()
    assert kept is not None
    second.restore(kept)
    rows += list(second.steps())
    assert rows == expected
    assert_same(weights(whole), weights(second))
    with whole.averaged(), second.averaged():
        assert_same(weights(whole), weights(second))


def test_seed_changes_the_run() -> None:
    assert alignment(seed=1).step()["loss"] == 1.0
    one, two = alignment(seed=1), alignment(seed=2)
    list(one.steps(until=2))
    list(two.steps(until=2))
    assert any(not torch.equal(value, weights(two)[name]) for name, value in weights(one).items())


def test_average_lags_behind_and_is_put_back() -> None:
    run = alignment(ema=0.5, steps=1, lr=1e-2)
    start = weights(run)
    run.step()
    now = weights(run)
    with run.averaged():
        for name, value in weights(run).items():
            torch.testing.assert_close(value, (start[name] + now[name]) / 2)
    assert_same(now, weights(run))


def test_sft_lowers_the_chosen_error_and_asap_raises_delta() -> None:
    pairs = MemoryPairs(4)
    sft = list(alignment("sft", pairs=pairs, steps=25, lr=3e-3).steps())
    assert (sft[-1]["winner_rise"] or 0) < -0.05
    asap = list(alignment("asap", pairs=pairs, steps=25, lr=1e-3, loss={"target_margin": 0.5}).steps())
    assert mean(asap, "delta") > 0.2


def test_the_constant_of_the_margin_does_not_matter_to_adam() -> None:
    """(delta - tau)^2 and (delta/tau - 1)^2 walk the same way, to a tenth of a step."""
    exact, scaled = (
        alignment(steps=4, lr=1e-4, loss={"target_margin": 0.5, "scale": "none", "normalize": flag})
        for flag in (False, True)
    )
    start = weights(exact)
    list(exact.steps())
    list(scaled.steps())
    for name, value in weights(exact).items():
        torch.testing.assert_close(value, weights(scaled)[name], atol=1e-5, rtol=0)
    assert any((value - start[name]).abs().max() > 1e-4 for name, value in weights(exact).items())


def test_the_anchor_holds_the_chosen_side() -> None:
    """On a random model delta grows only while both sides get worse; the anchor must let the chosen one lose less."""
    rise = []
    for anchor in (0.0, 4.0):
        run = alignment(pairs=MemoryPairs(4), steps=25, lr=1e-3, loss={"target_margin": 0.5, "anchor": anchor})
        rise.append(mean(list(run.steps()), "winner_rise"))
    assert rise[0] > 0.05
    assert rise[1] < 0.7 * rise[0]


def mean(rows: list[dict[str, float | None]], name: str) -> float:
    return sum(row[name] or 0.0 for row in rows[-8:]) / 8


@BOTH
def test_nan_stops_before_the_weights_move(lora: bool) -> None:
    pairs = MemoryPairs()
    run = alignment(lora=lora, pairs=pairs)
    list(run.steps(until=2))
    good = weights(run)
    pairs.chosen[:] = torch.nan
    with pytest.raises(TrainingError, match="step 2: loss nan"):
        run.step()
    assert run.done == 2
    assert_same(good, weights(run))


def test_a_cached_reference_gives_the_same_run(tmp_path: Path) -> None:
    bank = ReferenceStore(tmp_path, {})
    first = alignment(bank=bank)
    fresh = list(first.steps())
    bank.save()
    second = alignment(bank=ReferenceStore(tmp_path, {}), policy=None)
    forwards: list[int] = []
    second.task.policy.register_forward_hook(lambda _module, given, _output: forwards.append(len(given[0])))
    again = list(second.steps())
    assert forwards == [8] * 6
    assert again == fresh
    assert_same(weights(first), weights(second))


def test_faults_are_reported_together() -> None:
    with pytest.raises(ConfigError, match=r"steps must be >= 1.*lr must be > 0.*at least one pair"):
        alignment(steps=0, lr=0.0, pairs=MemoryPairs(0))


def test_state_of_another_model_is_refused() -> None:
    with pytest.raises(TrainingError, match="other weights"):
        alignment(lora=True).restore(alignment(lora=False).state())
