"""Equal drift by hand: where a path crosses a drift, where it ends within it, and which method is best there."""

from typing import Any

import pytest

from asap.workflows.results.equal_drift import best_at, change_at, equal_drift


def _row(change: float, drift: float, width: float = 0.0) -> dict[str, Any]:
    return {
        "paired_ci": {"value": change, "ci": [change - width, change + width]},
        "drift": {"outside_change": {"value": drift}},
    }


def test_a_change_at_equal_drift_is_read_off_the_path_between_base_and_rows() -> None:
    path = [_row(-0.1, 0.02, 0.04), _row(-0.3, 0.04, 0.08)]
    assert change_at(path, 0.01) == {"value": pytest.approx(-0.05), "ci": pytest.approx([-0.07, -0.03])}
    assert change_at(path, 0.03) == {"value": pytest.approx(-0.2), "ci": pytest.approx([-0.26, -0.14])}
    assert change_at(path, 0.0) == {"value": 0.0, "ci": [0.0, 0.0]}


def test_a_path_that_ends_within_the_drift_gives_its_end() -> None:
    back = [_row(-0.1, 0.02), _row(-0.3, 0.01)]  # on the second leg it comes nearer to the base again
    assert change_at(back, 1.0)["value"] == pytest.approx(-0.3)
    assert change_at(back, 0.015)["value"] == pytest.approx(-0.3)


def test_the_longest_training_within_the_drift_counts_not_the_luckiest() -> None:
    path = [_row(-0.4, 0.01), _row(-0.2, 0.02), _row(-0.3, 0.06)]
    assert change_at(path, 0.02)["value"] == pytest.approx(-0.2)
    assert change_at(path, 0.04)["value"] == pytest.approx(-0.25)


def test_no_path_has_a_drift_below_nothing() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        change_at([_row(-0.1, 0.02)], -0.01)


def test_methods_are_compared_at_the_drift_of_the_plain_ones_and_ranked_at_the_last() -> None:
    paths = {
        "dpo": [_row(-0.4, 0.02), _row(-0.5, 0.04)],
        "asap": [_row(-0.1, 0.01), _row(-0.15, 0.02)],
        "localized_dpo": [_row(-0.10, 0.02), _row(-0.4, 0.08)],
        "sft": [_row(0.0, 0.01)],
    }
    compared = equal_drift(paths)
    assert {name: column["drift"] for name, column in compared.items()} == {"sft": 0.01, "asap": 0.02, "dpo": 0.04}
    assert compared["asap"]["change"]["localized_dpo"]["value"] == pytest.approx(-0.1)
    # at dpo's 0.04 localized_dpo is a third of its second leg past -0.1, asap has ended at -0.15
    assert compared["dpo"]["change"]["localized_dpo"]["value"] == pytest.approx(-0.2)
    assert best_at(compared, ["asap", "localized_dpo"]) == "localized_dpo"


def test_without_a_plain_method_all_drifts_are_compared() -> None:
    compared = equal_drift({"asap_hinge": [_row(-0.1, 0.01)], "localized_dpo": [_row(-0.2, 0.02)]})
    assert list(compared) == ["asap_hinge", "localized_dpo"]
    assert best_at(compared, ["asap_hinge"]) == "asap_hinge"
