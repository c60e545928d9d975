"""Randomness by name: what a slot draws depends on nothing but (seed, step, slot, draw)."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from asap.align.batch import Draws, Slots, draw
from asap.align.order import slots_of_step
from asap.align.times import TimeLaw
from asap.core.errors import InputError
from tests.align.fakes import StraightPath


def drawn(
    places: Sequence[int],
    *,
    step: int = 2,
    draws: int = 1,
    shape: tuple[int, ...] = (4, 8, 8),
    path: StraightPath | None = None,
    **settings: object,
) -> Draws:
    """Draws of some places of a step of eight pairs out of twenty."""
    pairs = slots_of_step(1, step, 8, 20)
    chosen = tuple(pairs[place % 8] for place in places)
    slots = Slots(step=step, places=tuple(places), pairs=chosen, batch=8, total=20, start=8 * step)
    return draw(path or StraightPath(), shape, slots, seed=1, draws=draws, **settings)  # type: ignore[arg-type]


def test_draws_do_not_depend_on_the_split() -> None:
    whole, part = drawn(range(6), draws=3), drawn([4, 5], draws=3)
    assert torch.equal(whole.noise[4:], part.noise)
    assert torch.equal(whole.time[4:], part.time)
    assert len({float(one.sum()) for one in whole.noise.flatten(0, 1)}) == 18
    assert not torch.equal(part.noise, drawn([4, 5], draws=3, step=3).noise)


def test_draws_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    drawn([0])
    assert torch.equal(before, torch.get_rng_state())


def test_time_range() -> None:
    times = drawn(range(50), shape=(1, 1, 1), law=TimeLaw(range=(0.4, 0.6))).time
    assert times.min() >= 0.4
    assert times.max() <= 0.6


class StuckPath(StraightPath):
    def sample_time(self, batch: int, generator: torch.Generator) -> Tensor:
        return torch.full((batch,), 0.9)


def test_time_range_that_is_never_met() -> None:
    with pytest.raises(InputError, match=r"no time in \[0.1, 0.2\]"):
        drawn([0], path=StuckPath(), law=TimeLaw(range=(0.1, 0.2)))


def test_a_pair_goes_through_its_fixed_draws_in_turn() -> None:
    """Twenty pairs, eight a step: pair 3 is met once in each pass of 2.5 steps; with three draws kept, its fourth visit
    sees the first again, wherever in a step it stands."""
    seen = []
    for step in range(10):
        pairs = slots_of_step(1, step, 8, 20)
        if 3 in pairs:
            seen.append(drawn([pairs.index(3)], step=step, kept=3).noise)
    assert len(seen) == 4
    assert torch.equal(seen[0], seen[3])
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])


LAWS = {
    "uniform": (TimeLaw(law="uniform"), lambda u: u),
    "logit_normal": (TimeLaw(law="logit_normal", mean=0.5, spread=2.0), None),
    "shifted": (TimeLaw(law="uniform", shift=3.0), lambda u: 3 * u / (1 + 2 * u)),
}


@pytest.mark.parametrize("name", LAWS)
def test_laws_have_the_quantiles_that_they_name(name: str) -> None:
    """Of 1500 times a quarter lies below the law's lower quartile, and so on, within four standard errors."""
    law, quantile = LAWS[name]
    times = drawn(range(1500), shape=(1, 1, 1), law=law).time.flatten().double()
    for share in (0.25, 0.5, 0.75):
        normal = torch.special.ndtri(torch.tensor(share, dtype=torch.float64))
        bound = float(torch.sigmoid(0.5 + 2 * normal)) if quantile is None else quantile(share)
        assert float((times < bound).double().mean()) == pytest.approx(share, abs=4 * 0.5 / 1500**0.5)


def test_a_law_is_conditioned_on_its_range() -> None:
    """Uniform on [0.2, 0.6] has its median at 0.4; the shift is undone at the ends."""
    times = drawn(range(800), shape=(1, 1, 1), law=TimeLaw(law="uniform", shift=2.0, range=(0.2, 0.6))).time
    assert 0.2 <= float(times.min()) < 0.21
    assert 0.59 < float(times.max()) <= 0.6


@pytest.mark.parametrize("kept", [0, 4])
def test_strata_are_met_once_each_whatever_the_split(kept: int) -> None:
    """Over a step of 8 places with 2 draws, or over a pair's four fixed draws, each stratum holds one time."""
    law = TimeLaw(law="uniform", stratified=True)
    if not kept:
        times = torch.cat([drawn(range(4), draws=2, law=law).time, drawn(range(4, 8), draws=2, law=law).time])
        assert sorted((times.flatten() * 16).long().tolist()) == list(range(16))
        return
    times = torch.cat([drawn([0], step=0, draws=4, law=law, kept=4).time])
    assert sorted((times.flatten() * 4).long().tolist()) == list(range(4))


def test_law_faults() -> None:
    assert "need times uniform or logit_normal" in TimeLaw(stratified=True).faults()[0]
    assert "time_spread must be > 0" in TimeLaw(law="logit_normal", spread=0.0).faults()[0]
    assert "time_shift must be > 0" in TimeLaw(law="uniform", shift=-1.0).faults()[0]
