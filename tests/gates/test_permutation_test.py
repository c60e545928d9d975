"""The attacker: what it finds when there is something, and that it finds nothing in noise."""

import numpy as np
import pytest

from asap.core.errors import InputError
from asap.gates import permutation_test
from asap.gates.permutation_test import MIN_GROUPS, auroc, separability_test


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permutation_test, "PERMUTATIONS", 300)
    monkeypatch.setattr(permutation_test, "DRAWS", 300)


NAMES = ("one", "two", "three")


def names(count: int) -> list[str]:
    return [f"person {number}" for number in range(count)]


class TestAuroc:
    def test_by_hand(self) -> None:
        """Of the nine sums s_i + s_j of (3, 1, -2) six are above 0: all but 1 - 2, twice, and -2 - 2."""
        sums = [a + b for a in (3, 1, -2) for b in (3, 1, -2)]
        wanted = sum(1.0 if value > 0 else 0.5 if value == 0 else 0.0 for value in sums) / 9
        assert auroc([3.0, 1.0, -2.0])[0] == pytest.approx(wanted)
        assert wanted == pytest.approx(6 / 9)

    def test_all_none_and_ties(self) -> None:
        assert auroc([1.0, 2.0])[0] == 1.0
        assert auroc([-1.0, -2.0])[0] == 0.0
        assert auroc([0.0, 0.0])[0] == 0.5
        assert auroc([1.0, -1.0])[0] == 0.5

    def test_weights_repeat_a_pair(self) -> None:
        repeated = auroc([3.0, 1.0, 1.0, -2.0])[0]
        weighted = auroc([3.0, 1.0, -2.0, 9.0], [[1, 2, 1, 0]])[0]
        assert weighted == pytest.approx(repeated)


class TestTellApart:
    def test_a_difference_in_one_direction_is_a_leak(self) -> None:
        rng = np.random.default_rng(0)
        rows = rng.normal(size=(60, 3))
        rows[:, 1] = np.abs(rows[:, 1])
        found = separability_test(rows, names(60), NAMES, np.random.default_rng(1))
        assert found.verdict == "leak"
        assert found.low > 0.5
        assert found.auroc > found.noticed_from
        assert found.top[0][:2] == ("two", "higher")
        assert found.top[0][2] == 1.0

    def test_the_direction_is_named(self) -> None:
        rows = -np.abs(np.random.default_rng(0).normal(size=(40, 1)))
        assert separability_test(rows, names(40), ("only",), np.random.default_rng(1)).top == (("only", "lower", 1.0),)

    def test_noise_is_clean_nearly_always(self) -> None:
        """At a level of 0.95 chance gives a false alarm in one of forty: two of six would be a fault."""
        verdicts = [
            separability_test(
                np.random.default_rng(seed).normal(size=(30, 3)), names(30), NAMES, np.random.default_rng(seed)
            ).verdict
            for seed in range(6)
        ]
        assert verdicts.count("leak") <= 1

    def test_one_person_cannot_carry_a_finding(self) -> None:
        """Forty pairs of one person differ alike, those of others by chance: a fold never sees that person in both."""
        rng = np.random.default_rng(3)
        rows = np.concatenate([np.full((40, 1), 1.0), rng.choice([-1.0, 1.0], size=(30, 1))])
        found = separability_test(rows, ["same"] * 40 + names(30), ("only",), np.random.default_rng(1))
        assert found.verdict != "leak"

    def test_equal_sides_are_clean_and_few_people_say_nothing(self) -> None:
        equal = separability_test(np.zeros((50, 3)), names(50), NAMES, np.random.default_rng(0))
        assert (equal.auroc, equal.low, equal.high, equal.differ, equal.verdict) == (0.5, 0.5, 0.5, 0, "clean")
        few = separability_test(
            np.ones((50, 3)), names(MIN_GROUPS - 1) * 2 + names(12), NAMES, np.random.default_rng(0)
        )
        assert few.verdict == "too few"

    def test_an_exchange_of_sides_changes_the_direction_only(self) -> None:
        rows = np.random.default_rng(5).normal(size=(40, 3)) + 0.4
        one, two = (separability_test(side, names(40), NAMES, np.random.default_rng(1)) for side in (rows, -rows))
        assert one.auroc == pytest.approx(two.auroc)
        assert [name for name, *_ in one.top] == [name for name, *_ in two.top]

    @pytest.mark.parametrize("rows", [np.zeros((3, 2)), np.zeros((2, 3)), np.full((3, 3), np.nan)])
    def test_wrong_shapes_and_numbers(self, rows: np.ndarray) -> None:
        with pytest.raises(InputError, match=r"wanted finite differences \(3, 3\)"):
            separability_test(rows, names(3), NAMES, np.random.default_rng(0))
