import pytest
import torch

from asap.align.heldout import HELD_OUT_COLUMNS, fixed_noise, held_out
from tests.align.fakes import SHAPE, Alignment, alignment


def measured(run: Alignment, pairs: list[int]) -> list[tuple[float, ...]]:
    noise = fixed_noise(SHAPE, seed=3, pairs=pairs, samples=2)
    return held_out(run.task.objective, run.task.source.batch(pairs), noise)


def test_noise_belongs_to_the_pair_and_spreads_over_time() -> None:
    both, one = (fixed_noise(SHAPE, seed=3, pairs=pairs, samples=4) for pairs in ([5, 8], [8]))
    assert torch.equal(both.noise[1], one.noise[0])
    assert both.time.tolist() == [[0.125, 0.375, 0.625, 0.875]] * 2
    assert not torch.equal(both.noise[0], both.noise[1])


def test_the_untrained_policy_is_the_reference_and_a_trained_one_is_not() -> None:
    run = alignment(lora=True, lr=1e-2, loss={"target_margin": 0.5, "scale": "none"})
    for loss, delta, rise in measured(run, [0, 1, 2]):
        assert (loss, delta, rise) == (1.0, 0.0, 0.0)
    list(run.steps(until=3))
    rows = measured(run, [0, 1, 2])
    assert len(rows[0]) == len(HELD_OUT_COLUMNS)
    for loss, delta, _ in rows:
        assert loss == pytest.approx((delta / 0.5 - 1) ** 2, rel=1e-5)
        assert delta != 0.0
    assert measured(run, [2])[0] == pytest.approx(rows[2], rel=1e-5, abs=1e-6)
    assert all(value.grad is None for value in run.task.weights.values())
