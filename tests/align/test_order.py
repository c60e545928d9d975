"""Which pairs a step takes follows from (seed, step) alone: every pair in turn, and one shape at a time."""

import pytest

from asap.align.order import Order, slots_of_step

SHAPES = [range(12), range(12, 15), range(15, 40)]


def test_slots_pass_over_every_pair_once_an_epoch() -> None:
    seen = [pair for step in range(5) for pair in slots_of_step(3, step, 4, 10)]
    assert sorted(seen[:10]) == list(range(10))
    assert sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]
    assert slots_of_step(3, 2, 4, 10) == seen[8:12]


def test_one_shape_is_gone_through_in_the_order_of_slots() -> None:
    order = Order(3, 4, [range(10)])
    for step in (4, 0, 2):
        turn = order.turn(step)
        assert list(turn.pairs) == slots_of_step(3, step, 4, 10)
        assert (turn.start, turn.total) == (4 * step, 10)


def test_a_step_takes_its_pairs_from_one_shape() -> None:
    order = Order(5, 4, SHAPES)
    for step in range(30):
        turn = order.turn(step)
        (group,) = [group for group in SHAPES if set(turn.pairs) <= set(group)]
        assert turn.total == len(group)


def test_every_shape_gets_its_share_and_every_pair_its_turns() -> None:
    """After 30 steps of four pairs no shape is a whole step from its share, and no pair is more than one turn ahead."""
    order = Order(5, 4, SHAPES)
    met = [pair for step in range(30) for pair in order.turn(step).pairs]
    for group in SHAPES:
        turns = [met.count(pair) for pair in group]
        assert abs(sum(turns) / 4 - 30 * len(group) / 40) <= 1
        assert max(turns) - min(turns) <= 1


def test_a_step_does_not_depend_on_what_was_asked_before() -> None:
    """As after a stop: a new order asked for step 17 first says the same as one that went through all of them."""
    whole = Order(5, 4, SHAPES)
    turns = [whole.turn(step) for step in range(20)]
    for step in (17, 3, 19):
        assert Order(5, 4, SHAPES).turn(step) == turns[step]
    assert [Order(6, 4, SHAPES).turn(step) for step in range(20)] != turns


@pytest.mark.parametrize("groups", [[range(40)], SHAPES])
@pytest.mark.parametrize("steps", [1, 3, 9, 30])
def test_needed_pairs_are_those_that_are_taken(groups: list[range], steps: int) -> None:
    order = Order(5, 4, groups)
    needed = order.needed(steps)
    assert needed == sorted({pair for step in range(steps) for pair in order.turn(step).pairs})
    assert Order(5, 4, groups).needed(steps) == needed
