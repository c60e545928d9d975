"""Randomness by name: what a slot draws depends on nothing but (seed, step, slot, draw)."""

import pytest
import torch
from torch import Tensor

from asap.align.batch import draw, needed_pairs, slots_of_step
from asap.core.errors import InputError
from tests.align.fakes import StraightPath


def test_slots_pass_over_every_pair_once_an_epoch() -> None:
    seen = [pair for step in range(5) for pair in slots_of_step(3, step, 4, 10)]
    assert sorted(seen[:10]) == list(range(10))
    assert sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]
    assert slots_of_step(3, 2, 4, 10) == seen[8:12]


def test_needed_pairs_are_those_that_are_drawn() -> None:
    drawn = {pair for step in range(3) for pair in slots_of_step(5, step, 4, 40)}
    assert needed_pairs(5, 3, 4, 40) == sorted(drawn)
    assert needed_pairs(5, 30, 4, 40) == list(range(40))


def test_draws_do_not_depend_on_the_split() -> None:
    whole = draw(StraightPath(), (4, 8, 8), seed=1, step=2, slots=range(6), draws=3)
    part = draw(StraightPath(), (4, 8, 8), seed=1, step=2, slots=[4, 5], draws=3)
    assert torch.equal(whole.noise[4:], part.noise)
    assert torch.equal(whole.time[4:], part.time)
    assert len({float(one.sum()) for one in whole.noise.flatten(0, 1)}) == 18
    other = draw(StraightPath(), (4, 8, 8), seed=1, step=3, slots=[4, 5], draws=3)
    assert not torch.equal(part.noise, other.noise)


def test_draws_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    draw(StraightPath(), (4, 8, 8), seed=1, step=2, slots=[0], draws=1)
    assert torch.equal(before, torch.get_rng_state())


def test_time_range() -> None:
    times = draw(StraightPath(), (1, 1, 1), seed=1, step=0, slots=range(50), draws=1, time_range=(0.4, 0.6)).time
    assert times.min() >= 0.4
    assert times.max() <= 0.6


class StuckPath(StraightPath):
    def sample_time(self, batch: int, generator: torch.Generator) -> Tensor:
        return torch.full((batch,), 0.9)


def test_time_range_that_is_never_met() -> None:
    with pytest.raises(InputError, match=r"no time in \[0.1, 0.2\]"):
        draw(StuckPath(), (1, 1, 1), seed=1, step=0, slots=[0], draws=1, time_range=(0.1, 0.2))
