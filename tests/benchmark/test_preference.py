"""Votes on two images side by side, and the agreement of those who gave them, by hand."""

import pytest

from asap.benchmark.agreement import cohen_kappa
from asap.benchmark.rating import preference


def test_kappa_by_hand() -> None:
    """20 times both yes, 15 times both no, 5 and 10 times they differ: p_o 0.7, p_e 0.5, kappa 0.4."""
    answers = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    assert cohen_kappa(answers) == pytest.approx(0.4)
    assert cohen_kappa([*answers, ("y", None), (None, None)]) == pytest.approx(0.4)


def test_kappa_of_three_is_the_mean_over_pairs() -> None:
    """The third rater repeats the first: kappas 0.4, 1 and 0.4."""
    answers = [("y", "y", "y")] * 20 + [("y", "n", "y")] * 5 + [("n", "y", "n")] * 10 + [("n", "n", "n")] * 15
    assert cohen_kappa(answers) == pytest.approx((0.4 + 1 + 0.4) / 3)


@pytest.mark.parametrize("answers", [[], [("y", None)], [("y", "y")] * 3, [("y",), ("n",)]])
def test_kappa_that_is_not_defined(answers: list[tuple[str | None, ...]]) -> None:
    assert cohen_kappa(answers) is None


def test_most_raters_decide_and_pairs_without_votes_are_left_out() -> None:
    votes = [{"ada": 1, "bob": 1}, {"ada": 1, "bob": 0}, {"ada": 1, "bob": -1}, {"ada": -1}, {}]
    found = preference(votes, ["a", "b", "c", "d", "e"])
    assert (found["win"], found["tie"], found["lose"], found["n"]) == (2, 1, 1, 4)
    assert found["raters"] == ["ada", "bob"]
    assert found["kappa"] == pytest.approx(0.0)  # the pairs (1, 1), (1, 0), (1, -1): p_o and p_e are both 1/3


def test_without_votes_there_is_no_p() -> None:
    found = preference([{}, {}], ["a", "b"])
    assert (found["n"], found["kappa"], found["p"]) == (0, None, None)
