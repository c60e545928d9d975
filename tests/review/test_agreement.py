import numpy as np
import pytest

from asap.review import Kappa, agreement
from asap.review.agreement import cohen
from tests.review.samples import decision


def answers(table: list[list[int]]) -> tuple[list[str], list[str]]:
    """Two lists of answers that give the table."""
    pairs = [(str(i), str(j)) for i, row in enumerate(table) for j, n in enumerate(row) for _ in range(n)]
    return [one for one, _ in pairs], [two for _, two in pairs]


def of(table: list[list[int]]) -> Kappa:
    one, two = answers(table)
    return cohen(one, two, [str(index) for index in range(len(one))])


def test_a_worked_example() -> None:
    """p_o = 35/50, p_e = (25 * 30 + 25 * 20) / 50**2 = 0.5, kappa = 0.2 / 0.5."""
    found = of([[20, 5], [10, 15]])
    assert found.observed == pytest.approx(0.7)
    assert found.value == pytest.approx(0.4)
    assert found.n == 50
    assert found.low is not None
    assert found.high is not None
    # the usual large-sample interval: standard error sqrt(p_o (1 - p_o)) / ((1 - p_e) sqrt(n)) = 0.13
    assert found.low == pytest.approx(0.4 - 1.96 * 0.13, abs=0.05)
    assert found.high == pytest.approx(0.4 + 1.96 * 0.13, abs=0.05)


def test_full_agreement_of_few_pairs_is_not_certainty() -> None:
    few, many = of([[4, 0], [0, 4]]), of([[200, 0], [0, 200]])
    assert few.value == few.high == many.value == 1
    assert few.low is not None
    assert many.low is not None
    assert few.low < 0.9 < many.low < 1


def test_opposite_answers_and_chance() -> None:
    assert of([[0, 5], [5, 0]]).value == -1
    chance = of([[50, 50], [50, 50]])
    assert chance.value == 0
    assert chance.low is not None
    assert chance.high is not None
    assert chance.low < 0 < chance.high


@pytest.mark.parametrize(("table", "observed"), [([[7]], 1.0), ([], None)])
def test_one_answer_throughout_gives_no_number(table: list[list[int]], observed: float | None) -> None:
    found = of(table)
    assert (found.value, found.low, found.high, found.observed) == (None, None, None, observed)


def test_the_interval_covers_what_it_should() -> None:
    """95 % of tables drawn with a kappa of 0.6 have it in their interval; 100 tables, so 0.885 is three deviations off.

    The prior pulls towards less agreement by a part of 1/n, hence no upper bound but 1.
    """
    rng = np.random.default_rng(1)
    cells = np.array([[0.4, 0.1], [0.1, 0.4]]).ravel()  # p_o = 0.8, p_e = 0.5
    hits = 0
    for seed in range(100):
        one, two = answers(rng.multinomial(60, cells).reshape(2, 2).tolist())
        found = cohen(one, two, [str(index) for index in range(60)], seed=seed, draws=200)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0.6 <= found.high
    assert hits / 100 > 0.88


def test_pairs_of_one_person_count_as_one_piece_of_evidence() -> None:
    one, two = answers([[20, 5], [5, 20]])
    alone = cohen(one, two, [str(index) for index in range(50)])
    shared = cohen(one, two, [str(index // 10) for index in range(50)])
    assert alone.value == shared.value
    widths = [found.high - found.low for found in (alone, shared) if found.high is not None and found.low is not None]
    assert widths[1] > 1.3 * widths[0]


def test_lists_of_other_lengths_are_a_fault() -> None:
    with pytest.raises(ValueError, match="got 1, 2 and 1"):
        cohen(["a"], ["a", "b"], ["p"])


def test_two_reviewers_are_compared_where_both_decided() -> None:
    said = ["accept", "accept", "reject", "reject", "unsure", "accept"]
    other = ["accept", "reject", "reject", "reject", "reject", "accept"]
    first = {f"{i}": decision(f"{i}", word, "leak" if i < 3 else "") for i, word in enumerate(said)}
    second = {f"{i}": decision(f"{i}", word, ("leak", "fused")[i % 2], blind=i < 4) for i, word in enumerate(other)}
    first["only mine"] = decision("only mine", "unsure")
    found = agreement(first, second, {f"{i}": f"p{i}" for i in range(6)})
    assert found.decision.n == 6
    assert found.decision.observed == pytest.approx(4 / 6)
    # p_e = (3 * 2 + 2 * 4 + 1 * 0) / 36
    assert found.decision.value == pytest.approx((4 / 6 - 14 / 36) / (1 - 14 / 36))
    assert found.labels["accept"].observed == pytest.approx(5 / 6)
    assert found.labels["unsure"].value == 0
    assert found.error.n == 3
    assert found.error.observed == pytest.approx(2 / 3)
    assert found.blind == 4
