import numpy as np
import pytest
from scipy import stats

from asap.benchmark.pairwise import pairwise_strength, position_bias
from asap.benchmark.vlm import PairVote, decide_pair
from asap.core.errors import InputError

ROWS = [
    {"prompt_id": "a", "outcome": "win", "votes": [["first", "second"]] * 3},
    {"prompt_id": "a", "outcome": "lose", "votes": [["second", "first"]] * 3},
    {"prompt_id": "b", "outcome": "win", "votes": [["first", "second"], ["first", "first"], ["first", "second"]]},
    {"prompt_id": "c", "outcome": "tie", "votes": [["tie", "tie"], ["first", "first"], ["second", "second"]]},
]


def test_strength_of_votes_by_hand() -> None:
    found = pairwise_strength(ROWS, np.random.default_rng(0))
    assert found["value"] == pytest.approx((2 + 1) / (1 + 1))
    assert (found["win"], found["tie"], found["lose"], found["errors"]) == (2, 1, 1, 0)


def test_position_bias_by_hand() -> None:
    found = position_bias(ROWS)
    assert found["inconsistent"]["n"] == 11  # type: ignore[index]
    assert found["inconsistent"]["value"] == pytest.approx(3 / 11)  # type: ignore[index]
    assert found["first"]["value"] == pytest.approx(2 / 3)  # type: ignore[index]
    assert found["p"] == pytest.approx(stats.binomtest(2, 3).pvalue)


def test_a_judge_without_preference_has_no_bias() -> None:
    assert position_bias([{"votes": [["tie", "tie"], [None, "first"]]}])["p"] is None


def test_too_many_errors_leave_no_index() -> None:
    with pytest.raises(InputError, match="1 of 5"):
        pairwise_strength([*ROWS, {"prompt_id": "d", "outcome": "error", "votes": []}], np.random.default_rng(0))


@pytest.mark.parametrize(
    ("votes", "outcome"),
    [
        ([("first", "second")] * 2 + [("first", "first")], "win"),
        ([("first", "first")] * 3, "tie"),
        ([("second", "first"), ("second", "first"), (None, "first")], "lose"),
        ([("first", "second"), ("second", "first"), ("tie", "tie")], "tie"),
        ([("first", "second"), (None, None), ("tie", "tie")], "error"),
    ],
)
def test_orders_that_disagree_are_a_tie(votes: list[tuple[str | None, str | None]], outcome: str) -> None:
    assert decide_pair([PairVote(forward=one, backward=two) for one, two in votes]) == outcome
