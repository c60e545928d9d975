from pathlib import Path

import pytest

from asap.cli.app import main
from asap.workflows.evaluation import bench
from asap.workflows.evaluation.judges.registry import JUDGES

KNOWN = [*JUDGES.names(), "a folder of a learned judge"]


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
        (("--judge", "leraned"), f"unknown judge 'leraned'; known: {', '.join(sorted(KNOWN))}"),
        (("--judge", "learned", "--set", "votes=3"), "--set of the judge learned: unknown key 'votes'"),
        (("--judge", "vlm"), "--set of the judge vlm: url is missing; model is missing"),
        (("--judge", "ensemble"), "the judge ensemble needs members; give them with --set members=learned+vlm"),
        (("--judge", "."), ". holds no learned judge; make one with `asap judge train`, or use learned"),
        (
            ("--judge", "vlm", "--set", "url=u", "model=m", "vots=3"),
            "--set of the judge vlm: unknown key 'vots', did you mean votes?",
        ),
        (("--judge", "human", "--set", "ratings=none"), "holds no ratings; begin with `asap judge rate`"),
        (("--judge", "learned", "--calibration", "absent.json"), "cannot read absent.json"),
        (("--judge", "learned", "--lora", "absent"), "no manifest.json in absent or above it"),
        (("--images", "absent", "--lora", "absent"), "leave one of --images and --lora out"),
        (("--weights", "absent"), "--weights absent is no folder"),
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


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("calibrate", "--judge", "vlm"),
            "the judge vlm is calibrated on pairs of known truth; give --truth and --out",
        ),
        (("calibrate", "--judge", "none"), "none holds no learned judge"),
        (("calibrate", "--judge", "learned", "--truth", "absent"), "--truth needs --out DIR"),
        (("raters", "--ratings", "none"), "none holds no ratings; begin with `asap judge rate`"),
        (("run", "--judge", "learned", "--generations", "none", "--out", "r"), "make it with `asap generate`"),
    ],
)
def test_faults_of_judge_in_one_line(words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", *words]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_file_that_is_no_suite_is_not_to_be_deleted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (("a.json", "x"), ("b.jsonl", "x"), ("c.json", "[]"), ("d", "{}")):
        (tmp_path / name).write_text(text)
        words = ["bench", "run", "--model", "tiny", "--suite", str(tmp_path / name), "--out", str(tmp_path / "run")]
        assert main(words) == 2
        error = capsys.readouterr().err
        assert f"{tmp_path / name} is not a prompt suite" in error
        assert "delete" not in error
