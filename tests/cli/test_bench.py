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


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--judge", "leraned"), "unknown judge 'leraned'; known: a folder of a learned judge, ensemble, human"),
        (("--judge", "learned", "--set", "votes=3"), "the learned judge has no settings, got votes"),
        (("--judge", "vlm"), "a setting is missing"),
        (("--judge", "vlm", "--set", "url=u", "--set", "model=m", "--set", "vots=3"), "unknown settings vots; known: "),
        (("--judge", "human", "--set", "ratings=none"), "holds no ratings; begin with `asap judge rate`"),
        (("--judge", "learned", "--calibration", "none.json"), "cannot read none.json"),
        (("--judge", "learned", "--lora", "none"), "no manifest.json in none or above it"),
        (("--images", "none", "--lora", "none"), "leave one of --images and --lora out"),
        (("--weights", "none"), "--weights none is no folder"),
    ],
)
def test_what_cannot_be_judged_is_told_before_anything_is_drawn(
    words: tuple[str, ...], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "run", "--model", "tiny", *words, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
