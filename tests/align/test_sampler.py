"""Which pairs a step takes follows from (seed, step) alone: every pair takes its turn, and one shape at a time."""

import pytest

from asap.align.sampler import PairSampler, shuffled_pairs

SHAPES = [range(12), range(12, 15), range(15, 40)]


def test_slots_pass_over_every_pair_once_an_epoch() -> None:
    seen = [pair for step in range(5) for pair in shuffled_pairs(3, step, 4, 10)]
    assert sorted(seen[:10]) == list(range(10))
    assert sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]
    assert shuffled_pairs(3, 2, 4, 10) == seen[8:12]


def test_one_shape_is_gone_through_in_the_order_of_slots() -> None:
    sampler = PairSampler(3, 4, [range(10)])
    for step in (4, 0, 2):
        taken = sampler.step_pairs(step)
        assert list(taken.pairs) == shuffled_pairs(3, step, 4, 10)
        assert (taken.start, taken.total) == (4 * step, 10)


def test_a_step_takes_its_pairs_from_one_shape() -> None:
    sampler = PairSampler(5, 4, SHAPES)
    for step in range(30):
        taken = sampler.step_pairs(step)
        (group,) = [group for group in SHAPES if set(taken.pairs) <= set(group)]
        assert taken.total == len(group)


def test_every_shape_gets_its_share_and_every_pair_its_turns() -> None:
    """After 30 steps of four pairs no shape is a whole step from its share, and no pair is more than one turn ahead."""
    sampler = PairSampler(5, 4, SHAPES)
    met = [pair for step in range(30) for pair in sampler.step_pairs(step).pairs]
    for group in SHAPES:
        turns = [met.count(pair) for pair in group]
        assert abs(sum(turns) / 4 - 30 * len(group) / 40) <= 1
        assert max(turns) - min(turns) <= 1


def test_a_step_does_not_depend_on_what_was_asked_before() -> None:
    """As after a stop: a new order asked for step 17 first says the same as one that went through all of them."""
    whole = PairSampler(5, 4, SHAPES)
    turns = [whole.step_pairs(step) for step in range(20)]
    for step in (17, 3, 19):
        assert PairSampler(5, 4, SHAPES).step_pairs(step) == turns[step]
    assert [PairSampler(6, 4, SHAPES).step_pairs(step) for step in range(20)] != turns


@pytest.mark.parametrize("groups", [[range(40)], SHAPES])
@pytest.mark.parametrize("steps", [1, 3, 9, 30])
def test_needed_pairs_are_those_that_are_taken(groups: list[range], steps: int) -> None:
    sampler = PairSampler(5, 4, groups)
    needed = sampler.needed(steps)
    assert needed == sorted({pair for step in range(steps) for pair in sampler.step_pairs(step).pairs})
    assert PairSampler(5, 4, groups).needed(steps) == needed
