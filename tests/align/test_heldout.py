from contextlib import nullcontext

import pytest
import torch

from asap.align.heldout import HELD_OUT_TERMS, fixed_draws, held_out
from tests.align.fakes import SHAPE, trainer


def look(run: object, pairs: list[int], draws: int = 2) -> list[tuple[float, ...]]:
    return held_out(
        run.policy,  # type: ignore[attr-defined]
        run.reference,  # type: ignore[attr-defined]
        run.path,  # type: ignore[attr-defined]
        run.source.batch(pairs),  # type: ignore[attr-defined]
        fixed_draws(SHAPE, seed=3, pairs=pairs, draws=draws),
        method=run.method,  # type: ignore[attr-defined]
        loss=run.loss,  # type: ignore[attr-defined]
        cast=nullcontext(),
    )


def test_draws_belong_to_the_pair_and_spread_over_time() -> None:
    both, one = (fixed_draws(SHAPE, seed=3, pairs=pairs, draws=4) for pairs in ([5, 8], [8]))
    assert torch.equal(both.noise[1], one.noise[0])
    assert both.time.tolist() == [[0.125, 0.375, 0.625, 0.875]] * 2
    assert not torch.equal(both.noise[0], both.noise[1])


def test_the_untrained_policy_is_the_reference_and_a_trained_one_is_not() -> None:
    run = trainer(lora=True, lr=1e-2, loss={"tau": 0.5})
    for loss, delta, rise in look(run, [0, 1, 2]):
        assert (loss, delta, rise) == (1.0, 0.0, 0.0)
    list(run.steps(until=3))
    rows = look(run, [0, 1, 2])
    assert len(rows[0]) == len(HELD_OUT_TERMS)
    for loss, delta, _ in rows:
        assert loss == pytest.approx((delta / 0.5 - 1) ** 2, rel=1e-5)
        assert delta != 0.0
    assert look(run, [2])[0] == pytest.approx(rows[2], rel=1e-5, abs=1e-6)
    assert all(value.grad is None for value in run.weights.values())
