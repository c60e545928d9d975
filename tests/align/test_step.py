"""Errors of models with known offsets, worked by hand."""

from contextlib import nullcontext

import torch
from torch import Tensor

from asap.align.batch import Draws
from asap.align.methods import pair_losses, resolve
from asap.align.metrics import NAMES, FleeWatch, per_pair, summarise
from asap.align.policy import Denoise
from asap.align.step import StepErrors, measure, pair_errors
from asap.backbones.protocol import TextCondition
from tests.align.fakes import SHAPE, MemoryPairs, StraightPath

PAIRS, REPEATS = 3, 2
INSIDE = 9 / 64


def look(policy: float | Tensor, reference: float | Tensor, *, alpha: float = 10.0) -> StepErrors:
    """Errors of a policy and a reference whose predictions are the target plus these offsets, (R, 1, 1, 1) or more."""
    batch = MemoryPairs(PAIRS).batch(range(PAIRS))
    draws = Draws(
        noise=torch.randn(PAIRS, REPEATS, *SHAPE, generator=torch.Generator().manual_seed(0)),
        time=torch.tensor([[0.1, 0.9], [0.3, 0.6], [0.05, 0.2]]),
    )
    clean = torch.cat([batch.winner, batch.loser]).repeat_interleave(REPEATS, dim=0)
    target = draws.noise.flatten(0, 1).repeat(2, 1, 1, 1) - clean

    def known(offset: float | Tensor) -> Denoise:
        def run(x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
            expected = StraightPath().mix(clean, draws.noise.flatten(0, 1).repeat(2, 1, 1, 1), t)
            assert torch.equal(x_t, expected)
            assert torch.equal(t[: len(t) // 2], t[len(t) // 2 :])
            assert torch.equal(condition.tensors["text"][0], condition.tensors["text"][PAIRS * REPEATS])
            return target + offset

        return run

    return measure(known(policy), known(reference), StraightPath(), batch, draws, alpha=alpha, cast=nullcontext())


def whole(value: float) -> Tensor:
    return torch.full((PAIRS,), value, dtype=torch.float64)


def close(left: Tensor, right: Tensor) -> None:
    """Equal but for the rounding of float32 predictions."""
    torch.testing.assert_close(left.double(), right, rtol=1e-5, atol=1e-6)


def sides(winner: float, loser: float) -> Tensor:
    rows = PAIRS * REPEATS
    return torch.cat([torch.full((rows,), winner), torch.full((rows,), loser)]).reshape(-1, 1, 1, 1)


def test_constant_offsets_give_exact_errors() -> None:
    """Offset a everywhere: E = a^2 (1 + alpha * 9/64). Policy 0.1/0.4, reference 0.2/0.3: delta = (.03 + .07) W."""
    found = look(sides(0.1, 0.4), sides(0.2, 0.3))
    errors = pair_errors(found, 10.0)
    weight = 1 + 10 * INSIDE
    close(errors.policy_winner, whole(0.01 * weight))
    close(errors.reference_loser, whole(0.09 * weight))
    _, terms = pair_losses("squared", errors, resolve("asap", {})[1])
    close(terms["delta"], whole(0.10 * weight))
    close(found.mask_share, whole(INSIDE))


def test_alignment_of_constant_offsets() -> None:
    """Residuals 0.1 and 0.4 in every cell: <g_w,g_l> / |g_w|^2 = 4, whatever the weights; opposed: -4."""
    close(look(sides(0.1, 0.4), 0.0).alignment, whole(4.0))
    close(look(sides(0.1, -0.4), 0.0).alignment, whole(-4.0))


def test_log_row_by_hand() -> None:
    """The policy is off by 0.2 inside the winner's mask alone; the reference by 0.1 everywhere.

    Winner inside: 0.04 - 0.01 = 0.03; outside: 0 - 0.01. Loser: -0.01 inside and outside.
    Weighted by alpha 10: winner 0.04*11*f - 0.01*(1 + 10 f), loser -0.01*(1 + 10 f).
    """
    mask = MemoryPairs(PAIRS).mask.repeat_interleave(REPEATS, dim=0)
    found = look(torch.cat([0.2 * mask, 0.0 * mask]), 0.1)
    errors = pair_errors(found, 10.0)
    method, settings = resolve("asap", {})
    losses, terms = pair_losses(method.shape, errors, settings)
    row = summarise([per_pair(found, losses, terms, alpha=10.0, tau=0.01)])
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
    assert set(row) == ({*NAMES, "norm_ratio"} - {"policy_power", "reference_power"})


def test_a_quarter_without_draws_is_none() -> None:
    found = look(0.1, 0.1)
    losses, terms = pair_losses("squared", pair_errors(found, 10.0), resolve("asap", {})[1])
    values = per_pair(found, losses, terms, alpha=10.0, tau=0.01)[2:]
    row = summarise([values])
    assert row["delta_t0"] == 0.0
    assert row["delta_t1"] is None
    assert row["delta_t3"] is None


def row(delta: float, rise: float) -> dict[str, float | None]:
    return {"delta": delta, "winner_rise": rise, "reference_winner": 0.1}


def test_watch_tells_a_flight_from_progress() -> None:
    """Margin and winner error grow together: noticed once. Margin grows while the winner improves: never."""
    watch = FleeWatch(window=5)
    assert sum(watch.update(row(0.001 * step, 0.001 * step)) for step in range(40)) == 1
    assert watch.fleeing
    calm = FleeWatch(window=5)
    assert not any(calm.update(row(0.001 * step, -0.001 * step)) for step in range(40))
    shrinking = FleeWatch(window=5)
    assert not any(shrinking.update(row(-0.001 * step, 0.001 * step)) for step in range(40))
