from pathlib import Path

import numpy as np

from asap.benchmark.judge import CalibrationSet, calibrate, judge_folder, load_judge, read_calibration
from asap.workflows.results.calibration_page import calibration_page

KINDS = ["defect"] * 6 + ["null_pose"] * 2
CALIBRATION = calibrate(
    CalibrationSet(
        chosen=np.array([-1, -1, -1, 1, -1, -1, -1, -1], np.float32),
        rejected=np.array([2, 2, -2, 2, 3, -3, -1, 1], np.float32),
        kind=KINDS,
        part=["hand", "hand", "leg", "leg", "hand", "hand", "hand", "hand"],
        operation=["extra", "extra", "fused", "fused", "split", "split", "none", "none"],
        severity=["1", "2", "1", "2", "1", "2", "0", "0"],
        person=[f"p{index}" for index in range(8)],
    ),
    threshold=0.25,
    held_out=("split",),
    fingerprint="0123456789abcdef" * 4,
    notes={},
)
PAGE = calibration_page(CALIBRATION)


def lines(heading: str) -> dict[str, list[str]]:
    """Rows of the first table below a heading, by their first cell, without head and rule."""
    section = PAGE.split(heading, 1)[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")
    ]
    assert len({len(row) for row in rows}) == 1
    return {row[0]: row[1:] for row in rows[2:]}


def test_operations_in_training_held_out_and_all_by_hand() -> None:
    found = lines("# Calibration of the learned judge")
    assert list(found) == ["operations in training", "held-out operations (split)", "all"]
    trained, held_out, both = found.values()
    assert [trained[1][:5], trained[2][:5], trained[3]] == ["0.750", "0.750", "4"]  # 3 of 4 found, 3 of 4 passed
    assert [held_out[1][:5], held_out[2][:5], held_out[3]] == ["0.500", "1.000", "2"]
    assert [both[1][:5], both[3]] == ["0.667", "6"]
    assert all("[" in cell for row in found.values() for cell in row[:3])


def test_nulls_are_set_against_the_pictures_they_were_made_from() -> None:
    (clean, row), *rest = lines("## Null edits").items()
    assert not rest
    assert clean.startswith("0.000 [")
    assert [row[0][:5], row[1][:6], row[2]] == ["0.500", "+0.500", "1.000"]


def test_groups_have_their_counts_and_the_held_out_are_named() -> None:
    assert {name: row[3] for name, row in lines("## By part").items()} == {"hand": "4", "leg": "2"}
    operations = lines("## By operation")
    assert list(operations) == ["extra", "fused", "split (held out)"]
    assert [row[1][:5] for row in operations.values()] == ["1.000", "0.500", "0.500"]
    assert {name: row[3] for name, row in lines("## By severity").items()} == {"1": "3", "2": "3"}


def test_threshold_people_and_a_short_fingerprint() -> None:
    assert "People: 8. Threshold (logit): 0.2500" in PAGE
    assert "`0123456789abcdef`" in PAGE
    assert PAGE.endswith("|\n")


def test_the_packaged_calibration_is_the_published_one() -> None:
    """Once a test's own calibration of 32 defects was committed in its place, and every corrected AER with it."""
    packaged = read_calibration(judge_folder("learned"), load_judge(judge_folder("learned")).fingerprint)
    assert calibration_page(packaged) == (Path(__file__).parents[3] / "docs" / "judge.md").read_text(encoding="utf-8")
    assert packaged["sensitivity"]["n"] >= 1000
