"""What `asap bench compare` shows of a judge in and outside its domain, and with ratings; the votes are synthetic."""

import csv
import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from asap.benchmark.domain import Domain
from asap.benchmark.suite import load_suite
from asap.benchmark.verdict import Judge, JudgeInput, Verdict
from asap.cli.app import main
from asap.core.files import read_json, write_json
from asap.core.hashing import digest
from asap.workflows.evaluation import calibrate as calibrating
from tests.workflows.runs import FINGERPRINT, make_run
from tests.workflows.votes import rate_runs

RENDERS = Domain(kind="rendered", models=("mini",), size=64, scene="studio")
OWN = Domain(kind="generated", models=("mini",), generators=(digest(b"mini"),), size=16)
MINI = f"images of mini ({OWN.generators[0][:8]}) at 16 px"


def base_is_wrong(place: int, seed: int) -> bool:
    return place % 10 < 7


def aligned_is_wrong(place: int, seed: int) -> bool:
    return place % 10 < 4


def base_says(place: int, seed: int) -> bool | None:
    """The judge passes three of seven wrong images, and fails one of three right ones."""
    return place % 10 in (0, 1, 2, 3, 9)


def aligned_says(place: int, seed: int) -> bool | None:
    return place % 10 in (0, 1, 9)


def make_runs(root: Path, **how: object) -> list[Path]:
    """Two runs of the model mini with two images per prompt, judged by a judge that was made for mini."""
    options: dict[str, Any] = {"seeds": 2, "model": "mini", "judge": "learned", "made_for": RENDERS, **how}
    return [make_run(root / "base", base_says, **options), make_run(root / "aligned", aligned_says, **options)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_runs(tmp_path_factory.mktemp("runs"))


TRUTHS = [base_is_wrong, aligned_is_wrong]


def compare(runs: list[Path], out: Path, *more: str) -> dict[str, Any]:
    """The JSON of the command."""
    assert main(["bench", "compare", *map(str, runs), "--out", str(out), *more]) == 0
    found = read_json(out / "compare.json")
    assert isinstance(found, dict)
    return found


def calibrate(run: Path, **changes: object) -> None:
    """Put a calibration beside the verdicts of a run."""
    write_json(run / "verdicts" / "learned" / "calibration.json", {**TABLES, **changes})


def test_without_ratings_there_is_no_headline_but_the_command_that_makes_them(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = compare(runs, tmp_path / "out")
    line = f"No AER: the judge learned is not calibrated on {MINI}. Rate some of them blind with `asap bench rate"
    assert line in capsys.readouterr().out
    aligned = found["models"]["aligned"]["evidence"]
    assert (aligned["aer"]["headline"], aligned["aer"]["value"], aligned["n_rated"], aligned["n_judged"]) == (
        None,
        None,
        0,
        100,
    )
    assert aligned["difference"]["value"] is None
    assert aligned["aer"]["judged"]["value"] == 0.3
    page = (tmp_path / "out" / "compare.html").read_text()
    assert "Judge alone (not calibrated on these images)" in page
    assert "No AER: the judge learned is not calibrated" in page


def test_with_all_images_rated_the_numbers_are_those_of_the_raters(runs: list[Path], tmp_path: Path) -> None:
    ratings = rate_runs(runs, TRUTHS, tmp_path, count=100, raters={"ada": lambda k: False})
    found = compare(runs, tmp_path / "out", "--ratings", str(ratings))
    base, aligned = (found["models"][name]["evidence"] for name in ("base", "aligned"))
    assert (base["aer"]["value"], aligned["aer"]["value"]) == (0.7, 0.4)
    assert (base["aer"]["headline"], base["n_rated"], base["n_judged"]) == ("rated", 100, 100)
    assert aligned["difference"]["value"] == pytest.approx(-0.3)
    assert aligned["difference"]["ci"][1] < 0
    assert (base["aer"]["judged"]["value"], aligned["difference"]["judged"]["value"]) == (0.5, pytest.approx(-0.2))


def test_few_ratings_and_all_verdicts_are_combined(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raters = {"ada": lambda k: False, "bob": lambda k: k % 12 == 0}
    ratings = rate_runs(runs, TRUTHS, tmp_path, count=40, raters=raters)
    found = compare(runs, tmp_path / "out", "--ratings", str(ratings), "--leaderboard", str(tmp_path / "board.json"))
    with (tmp_path / "out" / "compare.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == "aligned"]
    assert sum(row["rating"] != "" for row in rows) == 40
    assert {row["rating"] for row in rows} == {"wrong", "right", "tie", ""}
    aer = found["models"]["aligned"]["evidence"]["aer"]
    assert (aer["n_rated"], aer["n_judged"], aer["rated"]["n"]) == (40, 100, 40)
    value = {"wrong": 1.0, "right": 0.0, "tie": 0.5}
    rated = [value[row["rating"]] for row in rows if row["rating"]]
    assert aer["rated"]["value"] == pytest.approx(np.mean(rated))
    assert aer["value"] == aer[aer["headline"]]["value"]
    assert aer["combined"]["ci"][0] < aer["combined"]["value"] < aer["combined"]["ci"][1]
    difference = found["models"]["aligned"]["evidence"]["difference"]
    assert difference["n_rated"] == 40
    assert difference["value"] < 0
    assert found["ratings"]["raters"] == ["ada", "bob"]
    assert 0.7 < found["ratings"]["kappa"] < 1
    assert found["ratings"]["n"] == 80
    out = capsys.readouterr().out
    assert found["headline"] in out
    assert found["headline"].startswith("aligned: AER ")
    assert (aer["ratings_to_halve"], "| more than there are images |" in out) == (None, True)
    board = json.loads((tmp_path / "board.json").read_text())["rows"]
    assert [row["model"] for row in board] == ["aligned", "base"]
    assert board[0]["evidence"]["aer"] == aer


def test_the_change_is_that_of_places_rated_in_both_runs(runs: list[Path], tmp_path: Path) -> None:
    """Ratings of the base alone rate no pair."""
    ratings = rate_runs(runs[:1], TRUTHS[:1], tmp_path, count=40, raters={"ada": lambda k: False})
    found = compare(runs, tmp_path / "out", "--ratings", str(ratings))
    assert found["models"]["base"]["evidence"]["n_rated"] == 40
    assert found["models"]["aligned"]["evidence"]["difference"]["n_rated"] == 0
    assert found["models"]["aligned"]["evidence"]["difference"]["value"] is None
    assert "aligned: none of its images is rated." in found["flags"]


def test_fewer_than_ten_rated_prompts_give_no_interval(runs: list[Path], tmp_path: Path) -> None:
    ratings = rate_runs(runs, TRUTHS, tmp_path, count=18, raters={"ada": lambda k: False})
    found = compare(runs, tmp_path / "out", "--ratings", str(ratings))
    aer = found["models"]["base"]["evidence"]["aer"]
    assert (aer["headline"], aer["ci"], aer["n_rated"]) == ("rated", None, 18)
    assert "rate at least 10 prompts" in (tmp_path / "out" / "compare.md").read_text()


def test_preferences_from_votes_side_by_side_are_shown(runs: list[Path], tmp_path: Path) -> None:
    """Places 4 to 6 of each ten are wrong in the base alone: 30 of 100."""
    raters = {"ada": lambda k: False, "bob": lambda k: False}
    ratings = rate_runs(runs, TRUTHS, tmp_path, count=100, raters=raters, compare=True)
    found = compare(runs, tmp_path / "out", "--ratings", str(ratings))["preference"]["aligned"]
    assert (found["win"], found["tie"], found["lose"], found["n"]) == (30, 70, 0, 100)
    assert (found["raters"], found["kappa"]) == (["ada", "bob"], 1.0)
    assert found["p"] < 0.001
    assert "| aligned | 30 / 70 / 0 | 100 | ada, bob | 1.00 |" in (tmp_path / "out" / "compare.md").read_text()


def test_the_verdicts_of_raters_are_ratings(tmp_path: Path) -> None:
    runs = make_runs(tmp_path, judge="human", made_for=None)
    aer = compare(runs, tmp_path / "out")["models"]["aligned"]["evidence"]["aer"]
    assert (aer["value"], aer["headline"], aer["n_rated"]) == (0.3, "rated", 100)


def test_a_judge_of_unknown_domain_prints_no_corrected_aer(tmp_path: Path) -> None:
    """A calibration that does not say what it was measured on, or says renders, corrects nothing."""
    runs = make_runs(tmp_path)
    other = replace(OWN, generators=("0" * 64,))
    for number, (measured_on, text) in enumerate(
        (([], "unknown images"), ([RENDERS.to_json()], RENDERS.text), ([other.to_json()], other.text))
    ):
        for run in runs:
            calibrate(run, measured_on=measured_on)
        found = compare(runs, tmp_path / f"out-{number}")
        for row in found["models"].values():
            assert row["aer_corrected"]["value"] is None
            assert row["judge"]["sensitivity"]["value"] is None
            assert row["evidence"]["aer"]["headline"] is None
        assert f"is calibrated on {text}, not on {MINI}" in found["headline"]


def test_a_judge_in_its_domain_prints_the_corrected_aer(tmp_path: Path) -> None:
    runs = make_runs(tmp_path)
    for run in runs:
        calibrate(run, measured_on=[OWN.to_json()])
    found = compare(runs, tmp_path / "out")["models"]["aligned"]
    assert found["aer_corrected"]["value"] == pytest.approx((0.3 + 0.9 - 1) / 0.8)
    assert found["evidence"]["aer"]["headline"] == "corrected"
    assert found["evidence"]["aer"]["value"] == found["aer_corrected"]["value"]


class Known(Judge):
    """Says of each image what the verdicts on the base say."""

    name, fingerprint = "known", FINGERPRINT

    def judge(self, images: Iterable[JudgeInput]) -> Iterator[Verdict]:
        places = {row.id: place for place, row in enumerate(load_suite("haf-lite").prompts)}
        for item in images:
            fails = base_says(places[item.key[0]], item.key[1])
            yield Verdict(fails=fails, probability=float(bool(fails)), parts={}, not_visible=(), attributes={})


def test_a_judge_calibrated_on_rated_images_corrects_other_runs_of_that_generator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 70 wrong images 40 fail, of 30 right ones 20 pass; AER (0.5 + 2/3 - 1) / (4/7 + 2/3 - 1) = 0.7."""
    monkeypatch.setattr(calibrating, "judge_by_name", lambda *_, **__: Known())
    runs = make_runs(tmp_path)
    ratings = rate_runs(runs, TRUTHS, tmp_path, count=100, raters={"ada": lambda k: False})
    words = ["judge", "calibrate", "--judge", "known", "--rated", str(runs[0] / "pictures"), "--ratings", str(ratings)]
    capsys.readouterr()
    assert main([*words, "--out", str(tmp_path / "calibration"), "--json"]) == 0
    rated = json.loads(capsys.readouterr().out)["rated"]
    assert [(rated[name]["right"], rated[name]["n"]) for name in ("sensitivity", "specificity")] == [(40, 70), (20, 30)]
    assert (rated["n"], rated["domain"]) == (100, MINI)
    assert sum(block["n"] for block in rated["by_category"].values()) == 100
    for run in runs:
        shutil.copy(tmp_path / "calibration" / "calibration.json", run / "verdicts" / "learned")
    found = compare(runs, tmp_path / "out")["models"]["base"]
    assert found["aer_corrected"]["value"] == pytest.approx(0.7)
    assert found["evidence"]["aer"]["headline"] == "corrected"
    assert "| rated images: full body |" in (tmp_path / "out" / "compare.md").read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--rated", "absent", "--out", "o"), "--rated needs --ratings DIR and --out DIR"),
        (("--rated", "absent", "--ratings", "absent", "--out", "o"), "absent holds no ratings"),
    ],
)
def test_faults_of_a_calibration_on_ratings(
    words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["judge", "calibrate", "--judge", "learned", *words]) == 2
    assert told in capsys.readouterr().err


BLOCK = {
    name: {"value": 0.9, "ci": [0.8, 1.0], "n": 100, "right": 90} for name in ("auroc", "sensitivity", "specificity")
}
TABLES: dict[str, Any] = {
    **BLOCK,
    "fingerprint": FINGERPRINT,
    "held_out": BLOCK,
    "all": BLOCK,
    "all_clean": {"right": 180, "n": 200},
    **{name: {} for name in ("by_part", "by_operation", "by_severity")},
    "null": {name: BLOCK["auroc"] for name in ("null_failure_rate", "clean_failure_rate", "difference")},
}
"""What the page shows of a calibration."""


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of images made elsewhere, judged by the packaged judge."""
    root = tmp_path_factory.mktemp("photographs")
    (root / "images").mkdir()
    draw = np.random.default_rng(0)
    for row in load_suite("haf-lite").prompts[:24]:
        pixels = draw.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((96, 64)).save(root / "images" / f"{row.id}_0.png")
    words = ["bench", "run", "--images", str(root / "images"), "--suite", "haf-lite", "--judge", "learned"]
    assert main([*words, "--out", str(root / "photographs")]) == 0
    return root / "photographs"


def test_learned_on_photographs_exits_with_2_and_says_what_to_do(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "compare", str(photographs), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    for part in (
        f"the judge learned is calibrated on {RENDERS.text}, and ",
        "photographs holds images made elsewhere at 96 px: there it gives no AER",
        "rate some of the images blind with `asap bench rate` and compare again with --ratings, or use another judge",
    ):
        assert part in error
    assert not (tmp_path / "out").exists()


def test_rated_photographs_have_the_raters_rate_and_none_of_the_judge(photographs: Path, tmp_path: Path) -> None:
    ratings = rate_runs([photographs], TRUTHS[:1], tmp_path, count=20, raters={"ada": lambda k: False})
    row = compare([photographs], tmp_path / "out", "--ratings", str(ratings))["models"]["photographs"]
    assert row["evidence"]["aer"]["rated"]["n"] == 20
    assert row["evidence"]["aer"]["value"] is not None
    assert row["evidence"]["aer"]["judged"]["value"] is None
    assert row["aer"]["value"] is None
    assert row["aer_corrected"]["value"] is None
    assert row["by_category"] == {}
    assert (row["win"], row["tie"], row["lose"]) == (0, 0, 0)
    text = (tmp_path / "out" / "compare.md").read_text()
    assert "no rate: outside the domain of the judge learned" in text


def test_other_judges_on_photographs_are_shown_as_not_calibrated(tmp_path: Path) -> None:
    """A judge that was made for nothing may look at anything; its rate is its own and corrects nothing."""
    run = make_run(tmp_path / "base", base_says, judge="vlm", notes={"missing": 0})
    found = compare([run], tmp_path / "out")
    assert found["models"]["base"]["evidence"]["aer"]["judged"]["value"] == 0.5
    assert found["headline"].startswith("No AER: the judge vlm is not calibrated on images made elsewhere at 16 px.")


def test_ratings_that_are_not_there_are_named(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", "compare", str(runs[0]), "--out", str(tmp_path / "out"), "--ratings", str(tmp_path)]
    assert main(words) == 2
    assert f"{tmp_path} holds no ratings; make some with `asap bench rate`" in capsys.readouterr().err


def test_the_packaged_judge_names_its_domain(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", "calibrate", "--judge", "learned", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["domain"] == "edited renders at 64 px, scene studio, passed through the autoencoder of mini"
    assert Domain.from_json(found["measured_on"][0]) == RENDERS
    assert "rated" in found
