import csv
import json
import os
import re
import time
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
import pytest

from asap.benchmark.suite import load_suite
from asap.core.errors import InputError, StoreError
from asap.core.manifest import Instrument, Manifest, Parent
from asap.stores.pairs import PairWriter
from asap.workflows.evaluation.compare import compare
from tests.review.browser import needs_browser, opened
from tests.stores.samples import pair
from tests.workflows.runs import judge_again, make_run


def base_says(place: int, seed: int) -> bool | None:
    return place % 2 == 0


def tuned_says(place: int, seed: int) -> bool | None:
    """Mends the first 20 of the base's failures, breaks one image that was right."""
    return (place % 2 == 0 and place >= 40) or place == 1


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("runs")
    return [make_run(root / "base", base_says, seeds=2), make_run(root / "tuned", tuned_says, seeds=2)]


def test_numbers_by_hand(runs: list[Path], tmp_path: Path) -> None:
    found = compare(runs, tmp_path)
    base, tuned = found["models"]["base"], found["models"]["tuned"]
    assert base["aer"]["value"] == 0.5
    assert tuned["aer"]["value"] == pytest.approx((5 + 1) * 2 / 100)
    assert (tuned["win"], tuned["lose"], tuned["tie"]) == (40, 2, 58)
    assert tuned["rsi"]["value"] == pytest.approx((40 + 58) / (2 + 58))
    assert tuned["aer_corrected"]["value"] is None
    written = json.loads((tmp_path / "compare.json").read_text())
    assert written["models"]["tuned"]["aer"] == tuned["aer"]
    assert written["suite"]["seeds"] == [0, 1]
    assert written["suite"]["prompts"] == 50
    assert sum(counts["fixed"] for counts in written["flips"]["tuned"].values()) == 40
    assert sum(counts["broken"] for counts in written["flips"]["tuned"].values()) == 2


def test_tables_say_n_intervals_and_the_judges_rates(runs: list[Path], tmp_path: Path) -> None:
    found = compare(runs, tmp_path)
    text = (tmp_path / "compare.md").read_text()
    section = text[text.index("## Verdicts of the judge") :]
    row = next(line for line in section.splitlines() if line.startswith("| tuned |"))
    low, high = found["models"]["tuned"]["aer"]["ci"]
    assert row.startswith(f"| tuned | 0.120 [{low:.3f}, {high:.3f}], n = 100 | not measured on these images | 1.63 [")
    assert "HPSv3 | HPSv2.1 | PickScore | ImageReward | Aesthetic" in text
    assert "No AER: the judge vlm is not calibrated on images of base (" in text
    with (tmp_path / "compare.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 200
    assert sum(row["flip"] == "fixed" for row in rows) == 40
    assert {row["verdict"] for row in rows} == {"wrong", "passes"}


def test_measures_of_quality_are_read_where_they_lie(tmp_path: Path) -> None:
    run = make_run(tmp_path / "base", base_says)
    (run / "quality.json").write_text(json.dumps({"hpsv3": {"value": 10.307, "ci": [10.1, 10.5], "n": 50}}))
    compare([run], tmp_path / "out")
    text = (tmp_path / "out" / "compare.md").read_text()
    assert "| 10.307 [10.100, 10.500] |  |  |" in text
    assert "Not measured, so left blank: HPSv2.1, PickScore, ImageReward, Aesthetic, CLIPScore, FID, KID." in text


def test_over_five_percent_errors_there_is_no_rate(runs: list[Path], tmp_path: Path) -> None:
    failing = make_run(tmp_path / "failing", lambda place, seed: None if place < 3 else place % 2 == 0, seeds=2)
    found = compare([runs[0], failing], tmp_path / "out")
    row = found["models"]["failing"]
    assert row["aer"]["value"] is None
    assert row["rsi"]["value"] is None
    assert row["by_category"] == {}
    assert row["paired"]["difference"]["value"] is None
    text = (tmp_path / "out" / "compare.md").read_text()
    assert "the judge failed on 6 of 100 images" in text
    lines = [line for line in text.splitlines() if line.startswith("| failing")]
    assert len(lines) > 5
    drift = text.index("## Drift")
    assert not any(re.search(r"\d \[|% \[", line) for line in lines if text.index(line) < drift)
    almost = make_run(tmp_path / "almost", lambda place, seed: None if place == 0 else place % 2 == 0, seeds=2)
    assert compare([runs[0], almost], tmp_path / "out2")["models"]["almost"]["aer"]["n"] == 98


def test_only_the_same_question_is_compared(runs: list[Path], tmp_path: Path) -> None:
    other: list[tuple[dict[str, Any], str]] = [
        ({"seeds": 1}, "differ in seeds"),
        ({"seeds": 2, "suite": "haf-mini"}, "differ in suite"),
        ({"seeds": 2, "fingerprint": "e" * 64}, "differ in judge"),
    ]
    for number, (how, fault) in enumerate(other):
        run = make_run(tmp_path / str(number), base_says, **how)
        with pytest.raises(InputError, match=fault):
            compare([runs[0], run], tmp_path / "out")
    with pytest.raises(InputError, match="need different names"):
        compare([runs[0], runs[0]], tmp_path / "out")
    with pytest.raises(StoreError, match="has no verdicts"):
        compare([tmp_path], tmp_path / "out")


def test_a_judge_that_made_the_pairs_is_refused_or_told(tmp_path: Path) -> None:
    picked = make_run(tmp_path / "a", base_says, instruments=(Instrument("pair_gate", "vlm", "f" * 64),))
    with pytest.raises(InputError, match="also picked the training pairs"):
        compare([picked], tmp_path / "out")
    found = make_run(tmp_path / "b", base_says, instruments=(Instrument("landmarker", "hands", "f" * 64),))
    flags = compare([found], tmp_path / "out")["flags"]
    assert any("shares hands (landmarker) with what made its training pairs" in flag for flag in flags)
    same = (Instrument("landmarker", "mediapipe", "e" * 64), Instrument("captioner", "qwen", "d" * 64))
    parts = make_run(tmp_path / "d", base_says, instruments=same, judge="landmarks")
    assert any("shares mediapipe (landmarker)" in flag for flag in compare([parts], tmp_path / "out")["flags"])
    hosted = make_run(tmp_path / "e", base_says, instruments=same, settings={"model": "qwen"})
    assert any("shares qwen (captioner)" in flag for flag in compare([hosted], tmp_path / "out")["flags"])
    elsewhere = make_run(tmp_path / "c", base_says, notes={"unknown_lineage": True, "missing": 7})
    flags = compare([elsewhere], tmp_path / "out")["flags"]
    assert any("its training data is unknown" in flag for flag in flags)
    assert any("7 images of its prompts and seeds are missing" in flag for flag in flags)


def test_a_comparison_of_some_seeds_is_that_of_runs_with_these_seeds(runs: list[Path], tmp_path: Path) -> None:
    found = compare(runs, tmp_path / "one", seeds=[1])["models"]["tuned"]
    assert found["n"] == 50
    assert json.loads((tmp_path / "one" / "compare.json").read_text())["suite"]["seeds"] == [1]
    other = make_run(tmp_path / "other", tuned_says, seeds=3)
    assert compare([runs[0], other], tmp_path / "two", seeds=[0, 1])["models"]["other"]["n"] == 100


def test_the_page_shows_what_a_model_was_trained_on(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs"
    with PairWriter(pairs, {}, 8) as writer:
        writer.write_chunk(0, [pair(index) for index in range(8)], {}, 0.1)
        content = writer.finish(Manifest(kind="pairs"))
    screen = (Instrument("screen", "qwen", "d" * 64),)
    parent = Parent("pairs", str(pairs), content)
    Manifest(kind="trained", parents=(parent,), instruments=screen).write(tmp_path / "run" / "manifest.json")
    rows = [{"step": step, "loss": 1 / step, "accuracy": None} for step in range(1, 9)]
    (tmp_path / "run" / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    gone = Parent("trained", str(tmp_path / "gone"), "c" * 64)
    runs = [make_run(tmp_path / "base", base_says, parents=(gone,))]
    runs += [make_run(tmp_path / "tuned", tuned_says, parents=(Parent("trained", str(tmp_path / "run"), "b" * 64),))]
    compare(runs, tmp_path / "out", pairs=pairs)
    page, text = ((tmp_path / "out" / f"compare.{form}").read_text() for form in ("html", "md"))
    assert page.count('alt="Rejected, with its mask outlined"') == 1
    assert "hand: fused, severity" in page
    assert page.count("over training steps") == 1
    assert f"| tuned | pairs | {content[:16]} |" in text
    assert "| base | trained | cccccccccccccccc | not found |" in text
    assert "qwen (screen)" in text


def test_the_leaderboard_merges_only_what_agrees(runs: list[Path], tmp_path: Path) -> None:
    board = tmp_path / "board.json"
    compare(runs, tmp_path / "out", leaderboard=board)
    third = make_run(tmp_path / "third", lambda place, seed: False, seeds=2)
    compare([runs[0], third], tmp_path / "out", leaderboard=board)
    rows = json.loads(board.read_text())["rows"]
    assert [row["model"] for row in rows] == ["third", "tuned", "base"]
    kept = board.read_bytes()
    short = make_run(tmp_path / "short", base_says, seeds=1)
    with pytest.raises(InputError, match="leaderboard was made with another seeds"):
        compare([short], tmp_path / "out", leaderboard=board)
    renamed = make_run(tmp_path / "x" / "tuned", base_says, seeds=2)
    with pytest.raises(InputError, match="the leaderboard has another 'tuned'"):
        compare([runs[0], renamed], tmp_path / "out", leaderboard=board)
    assert board.read_bytes() == kept


def test_what_the_judge_writes_cannot_break_the_page(tmp_path: Path) -> None:
    reason = "</script><b onmouseover=alert(1)>\u2028"
    compare([make_run(tmp_path / "base", base_says, reason=reason)], tmp_path / "out")
    page = (tmp_path / "out" / "compare.html").read_text()
    assert "</script><b" not in page
    assert page.count("<script") == page.count("</script>") == 4
    assert "http://" not in re.sub(r"http://www\.w3\.org/\S+", "", page)


def test_aer_by_prompt_and_parts_not_visible_by_hand(tmp_path: Path) -> None:
    """Of 50 prompts with two images, 10 fail twice, 20 once."""
    run = make_run(tmp_path / "base", lambda place, seed: place < 10 or (place < 30 and seed == 0), seeds=2)
    found = compare([run], tmp_path / "out")["models"]["base"]
    rates = found["aer_by_prompt"]
    assert rates["mean"]["value"] == pytest.approx((10 + 10) / 50)
    assert (rates["ever"]["value"], rates["always"]["value"]) == (0.6, 0.2)
    assert (rates["mean"]["n"], found["aer"]["n"]) == (50, 100)
    text = (tmp_path / "out" / "compare.md").read_text()
    section = text[text.index("## AER by prompt") : text.index("## AER by category")]
    low, high = rates["mean"]["ci"]
    assert f"| base | 40.0 % [{100 * low:.1f}, {100 * high:.1f}], n = 50 | n/a |" in section
    asked = [row.parts for row in load_suite("haf-lite").prompts]
    hidden = sum(place % 10 == 0 for place, parts in enumerate(asked) if parts)
    assert found["not_visible"]["value"] == pytest.approx(hidden / sum(map(len, asked)))
    assert f"{100 * hidden / sum(map(len, asked)):.1f} % [" in text[text.index("## Parts not visible") :]


def test_how_far_votes_raters_and_judges_agree(tmp_path: Path) -> None:
    def details(place: int, seed: int) -> dict[str, Any]:
        third = "error" if place % 5 == 0 else ("right" if place % 2 else "wrong")
        return {"votes": [{"part": "hand", "outcomes": ["wrong", "right" if place % 4 else "wrong", third]}]}

    run = make_run(tmp_path / "base", base_says, details=details)
    compare([run], tmp_path / "one")
    told = json.loads((tmp_path / "one" / "compare.json").read_text())["agreement"]["base"]
    answers = [[None if v == "error" else v for v in details(p, 0)["votes"][0]["outcomes"]] for p in range(50)]
    codes = [[np.nan if v is None else ("wrong", "right").index(v) for v in row] for row in answers]
    expected = krippendorff.alpha(reliability_data=np.array(codes).T, level_of_measurement="nominal")
    assert told["votes"]["value"] == pytest.approx(expected, abs=1e-9)
    assert told["votes"]["n"] == 50
    judge_again(run, "human", tuned_says, details=lambda place, seed: {"raters": {"ada": "wrong", "bob": "right"}})
    compare([run], tmp_path / "two", judge="human")
    told = json.loads((tmp_path / "two" / "compare.json").read_text())["agreement"]["base"]
    assert set(told) == {"raters", "judges"}
    assert told["raters"]["by"] == ["ada", "bob"]
    assert told["judges"]["by"] == ["human", "vlm"]
    both = np.array([[base_says(place, 0), tuned_says(place, 0)] for place in range(50)], dtype=float).T
    expected = krippendorff.alpha(reliability_data=both, level_of_measurement="nominal")
    assert told["judges"]["value"] == pytest.approx(expected, abs=1e-9)
    assert "| base | judges | human, vlm |" in (tmp_path / "two" / "compare.md").read_text()


def test_missing_inputs_are_reported_before_images_are_read(runs: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    told: list[str] = []
    with pytest.raises(StoreError, match="is not a leaderboard; choose another file"):
        compare(runs, tmp_path / "out", leaderboard=tmp_path / "file", report=told.append)
    with pytest.raises(StoreError, match="is not a leaderboard; choose another file"):
        compare(runs, tmp_path / "out", leaderboard=tmp_path, report=told.append)
    with pytest.raises(InputError, match="cannot make the folder"):
        compare(runs, tmp_path / "file", report=told.append)
    with pytest.raises(StoreError, match="has no verdicts of human, but of vlm"):
        compare(runs, tmp_path / "out", judge="human", report=told.append)
    assert told == []


def test_a_stopped_run_and_a_damaged_image_are_named(tmp_path: Path) -> None:
    stopped = make_run(tmp_path / "stopped", base_says)
    (stopped / "verdicts" / "vlm" / "manifest.json").unlink()
    with pytest.raises(StoreError, match="it was stopped; run the same command again"):
        compare([stopped], tmp_path / "out")
    damaged = make_run(tmp_path / "damaged", base_says)
    image = next((damaged / "pictures").glob("*/samples/*.png"))
    image.write_bytes(b"x")
    with pytest.raises(StoreError, match=re.escape(f"{image} is damaged")):
        compare([damaged], tmp_path / "out")


def test_a_model_that_wins_everything_has_no_strength_and_it_is_said_why(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / "base", lambda place, seed: True),
        make_run(tmp_path / "best", lambda place, seed: False),
    ]
    found = compare(runs, tmp_path / "out")["models"]["best"]
    assert found["rsi"]["value"] is None
    assert (found["win"], found["tie"], found["lose"]) == (50, 0, 0)
    text = (tmp_path / "out" / "compare.md").read_text()
    assert "| undefined: the model lost no image and tied none, so (lose + tie) is 0 |" in text


def test_one_judge_without_votes_has_no_table_of_agreement(runs: list[Path], tmp_path: Path) -> None:
    compare(runs, tmp_path)
    assert "## Agreement" not in (tmp_path / "compare.md").read_text()


@needs_browser
@pytest.mark.slow
def test_two_thousand_pictures_open_in_three_seconds(tmp_path: Path) -> None:
    size = int(os.environ.get("ASAP_REPORT_PICTURE", "256"))
    folders = [make_run(tmp_path / "base", base_says, suite="haf", size=size)]
    folders += [
        make_run(tmp_path / name, lambda place, seed, k=k: place % k == 0, suite="haf", size=size)  # type: ignore[misc]
        for k, name in ((3, "sft"), (4, "dpo"), (5, "asap"))
    ]
    page = Path(compare(folders, tmp_path / "out")["page"])
    assert page.stat().st_size < 60e6
    with opened(tmp_path / "profile") as driver:
        began = time.monotonic()
        driver.get(page.as_uri())
        seconds = time.monotonic() - began
        print(f"{page.stat().st_size / 1e6:.1f} MB, {seconds:.2f} s")
        assert driver.execute_script("return document.querySelectorAll('#tiles .tile').length") == 500
        loaded = driver.execute_script("return document.querySelectorAll('#tiles img').length")
        assert loaded < 400, "images out of sight are not made"
        assert seconds < 3
