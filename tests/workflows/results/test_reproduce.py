"""Rules of the reproduction that need no model: what a row starts from, its path, the README's table."""

from pathlib import Path
from typing import Any

from asap.workflows.results import reproduce


def test_a_row_that_continues_another_starts_from_its_model(tmp_path: Path) -> None:
    how = reproduce.ReproduceSettings()
    names = ("asap", "asap+own", "asap+again", "asap+round1", "localized_dpo+round3")
    places = {
        name: (reproduce._training_pairs(tmp_path, name), reproduce._start_model(tmp_path, how, name)) for name in names
    }
    rounds, aligned = tmp_path / "rounds", tmp_path / "aligned"
    assert places == {
        "asap": (tmp_path / "pairs", "mini"),
        "asap+own": (tmp_path / "own", "mini"),
        "asap+again": (tmp_path / "pairs", str(aligned / "localized_dpo")),
        "asap+round1": (rounds / "round-1" / "pairs", str(aligned / "localized_dpo+again")),
        "localized_dpo+round3": (rounds / "round-3" / "pairs", str(rounds / "round-2" / "model")),
    }


def test_rows_that_others_continue_are_trained_first() -> None:
    def continued(*methods: str) -> list[str]:
        return reproduce._continued_rows(reproduce.ReproduceSettings(methods=methods))

    assert continued("asap", "asap+own") == []
    assert continued("sft", "asap+again") == ["localized_dpo"]
    assert continued("localized_dpo+round1") == ["localized_dpo", "localized_dpo+again"]


def test_the_path_of_a_row_has_the_rows_that_it_continues() -> None:
    how = reproduce.ReproduceSettings(steps=64, snapshots=(32, 64, 128))
    sweep: dict[str, list[dict[str, Any]]] = {
        "localized_dpo": [{"steps": 32}, {"steps": 64}, {"steps": 128}],
        "localized_dpo+own": [{"steps": 64}],
        "localized_dpo+again": [{"steps": 128}],
        "localized_dpo+round2": [{"steps": 256}],
    }

    def steps(method: str) -> list[int]:
        return [row["steps"] for row in reproduce._path(sweep, how, method)]

    assert steps("localized_dpo") == [32, 64, 128]
    assert steps("localized_dpo+own") == [64]
    assert steps("localized_dpo+again") == [32, 64, 128]
    assert steps("localized_dpo+round2") == [32, 64, 128, 256]  # round 1 is no row of this table


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
