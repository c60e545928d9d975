"""Rules of the reproduction that need no model: equal drift, the best method, the README's table."""

from pathlib import Path
from typing import Any

import pytest

from asap.stages import reproduce


def _row(aer: float, drift: float, steps: int) -> dict[str, Any]:
    return {"base_aer": 0.5, "aer": aer, "steps": steps, "drift": {"outside_change": {"value": drift}}}


def test_aer_at_equal_drift_is_read_off_the_curve_between_base_and_snapshots() -> None:
    # base (0, 0.5), then (0.02, 0.4) and (0.04, 0.2): halfway up the first leg and halfway up the second
    points = [_row(0.4, 0.02, 40), _row(0.2, 0.04, 100)]
    assert reproduce.aer_at(points, 0.01) == pytest.approx(0.45)
    assert reproduce.aer_at(points, 0.03) == pytest.approx(0.3)
    assert reproduce.aer_at(points, 1.0) == pytest.approx(0.2)


def test_best_is_chosen_at_equal_drift_and_among_localized_methods_only() -> None:
    sweep = {
        "dpo": [_row(0.05, 0.02, 40), _row(0.01, 0.04, 100)],
        "asap": [_row(0.30, 0.01, 40), _row(0.25, 0.02, 100)],
        "localized_dpo": [_row(0.40, 0.02, 40), _row(0.10, 0.08, 100)],
    }
    # the common drift is 0.02: asap has 0.25 there, localized_dpo 0.40; dpo is lower and not localized
    assert reproduce._best(sweep) == "asap"


def test_a_row_of_a_round_begins_with_the_model_of_the_round_before(tmp_path: Path) -> None:
    how = reproduce.ReproduceSettings()
    places = {name: (reproduce._taught_by(tmp_path, name), reproduce._begun_with(tmp_path, how, name)) for name in (
        "asap", "asap+own", "asap+again", "asap+round1", "localized_dpo+round3"
    )}  # fmt: skip
    rounds, aligned = tmp_path / "rounds", str(tmp_path / "aligned")
    assert places == {
        "asap": (tmp_path / "pairs", "mini"),
        "asap+own": (tmp_path / "own", "mini"),
        "asap+again": (tmp_path / "pairs", aligned),
        "asap+round1": (rounds / "round-1" / "pairs", aligned),
        "localized_dpo+round3": (rounds / "round-3" / "pairs", str(rounds / "round-2" / "model")),
    }


def test_readme_gets_the_table_between_its_marks(tmp_path: Path) -> None:
    begin, end = reproduce.MARKS
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    reproduce._refresh(readme, ["| a |", "|---|"])
    assert readme.read_text() == f"before\n{begin}\n\n| a |\n|---|\n\n{end}\nafter\n"


def test_a_readme_without_marks_is_left_alone(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("no marks\n")
    reproduce._refresh(readme, ["| a |"])
    assert readme.read_text() == "no marks\n"
    reproduce._refresh(tmp_path / "none.md", ["| a |"])
    assert not (tmp_path / "none.md").exists()
