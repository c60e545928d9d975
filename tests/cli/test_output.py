import json

import numpy as np
import pytest

from asap.cli.output import print_json, print_lines, tell


def test_json_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"b": np.float32(0.5), "a": (1, None)})
    assert json.loads(capsys.readouterr().out) == {"a": [1, None], "b": 0.5}


def test_lines_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    print_lines({"accepted": 3, "by_part": {"hand": 2, "leg": 1}, "rate": 0.123456, "none": None, "reasons": {}})
    assert capsys.readouterr().out.splitlines() == [
        "accepted  3",
        "by_part   hand 2, leg 1",
        "rate      0.1235",
        "none      unknown",
        "reasons   none",
    ]


def test_progress_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    tell("judge 3/4")
    assert capsys.readouterr() == ("", "judge 3/4\n")


def test_a_mapping_of_mappings_is_a_block(capsys: pytest.CaptureFixture[str]) -> None:
    print_lines({"n": 4, "by_part": {"hand": {"rate": 0.5, "n": 2}, "leg": {"rate": None, "n": 2}}})
    assert capsys.readouterr().out == "n        4\nby_part\n  hand  rate 0.5, n 2\n  leg   rate unknown, n 2\n"
