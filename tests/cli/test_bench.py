from pathlib import Path

import pytest

from asap.cli.app import main
from asap.stages import bench


def test_run_hands_on_everything_that_drawing_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}

    def run(out: Path, **how: object) -> dict[str, str]:
        seen.update(how)
        return {"run": str(out)}

    monkeypatch.setattr(bench, "run", run)
    words = ["bench", "run", "--suite", "haf-lite", "--judge", "vlm", "--set", "model=m", "--width", "64"]
    assert main([*words, "--lora", "l", "--device", "cpu", "--out", str(tmp_path)]) == 0
    assert (seen["suite"], seen["judge"], seen["settings"], seen["lora"]) == (
        "haf-lite",
        "vlm",
        {"model": "m"},
        Path("l"),
    )
    assert seen["size"] == (None, 64)
    assert seen["seeds"] == 4


def test_the_check_of_another_suite_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "check", "--suite", "haf-mini"]) == 2
    assert "want one of haf, haf-lite" in capsys.readouterr().err
