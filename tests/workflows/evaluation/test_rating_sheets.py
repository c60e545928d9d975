"""Blind rating on sheets: the same places of every run, controls, a key apart, votes to ratings, agreement."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asap.core.errors import InputError
from asap.core.manifest import Manifest
from asap.stores.generations import GenerationWriter
from asap.stores.pairs import PairWriter
from asap.stores.png import decode
from asap.stores.ratings import read_preferences, read_ratings
from asap.workflows.evaluation.rating_sheets import Ballot, read_votes, summarize, write_disputed, write_sheets
from tests.stores.samples import pair


def run_of(folder: Path, seed: int, prompts: int = 6) -> Path:
    """A store of generations of random pixels."""
    with GenerationWriter(folder, {"model": str(seed)}) as writer:
        for index in range(prompts):
            pixels = np.random.default_rng([seed, index]).integers(0, 255, (24, 24, 3), dtype=np.uint8)
            writer.add(f"p{index}", 0, pixels, prompt=f"a hand {index}", category="basic_anatomy")
        writer.finish(Manifest(kind="generations"))
    return folder


def key_of(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_text())["items"])


def vote(path: Path, votes: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in votes))
    return path


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return [run_of(tmp_path / "base", 1), run_of(tmp_path / "aligned", 2)]


def test_every_run_shows_the_same_prompts_and_nothing_tells_them_apart(runs: list[Path], tmp_path: Path) -> None:
    count = write_sheets(runs, tmp_path / "sheets", tmp_path / "key.json", ballot=Ballot(count=4, side=64))
    items = key_of(tmp_path / "key.json")
    assert count == len(items) == 8
    shown = [{item["prompt_id"] for item in items if item["run"] == run} for run in (0, 1)]
    assert shown[0] == shown[1]
    assert len(shown[0]) == 4
    assert [item["k"] for item in items] == list(range(8))
    assert [path.name for path in sorted((tmp_path / "sheets").iterdir())] == ["sheet-000.png"]
    sheet = decode((tmp_path / "sheets" / "sheet-000.png").read_bytes())
    assert sheet.shape[2] == 3


def test_controls_are_a_quarter_and_half_of_them_wrong(runs: list[Path], tmp_path: Path, pair_store: Path) -> None:
    write_sheets(runs, tmp_path / "s", tmp_path / "key.json", ballot=Ballot(count=3, side=64), controls=pair_store)
    items = key_of(tmp_path / "key.json")
    controls = [item for item in items if item.get("control")]
    assert (len(items), len(controls)) == (8, 2)
    assert sorted(item["truth"] for item in controls) == ["right", "wrong"]


def test_votes_become_ratings_and_a_third_rater_sees_only_disputes(runs: list[Path], tmp_path: Path) -> None:
    key, ratings = tmp_path / "key.json", tmp_path / "ratings"
    write_sheets(runs, tmp_path / "s", key, ballot=Ballot(count=5, side=64))
    items = key_of(key)
    for rater, turned in {"ada": 0, "bob": 2}.items():
        votes = [
            {"k": item["k"], "answer": "wrong" if (item["run"] == 0) != (item["k"] < turned) else "right"}
            for item in items
        ]
        assert read_votes(key, vote(tmp_path / f"{rater}.jsonl", votes), ratings, rater=rater) == 10
    assert set(read_ratings(ratings)) == {"ada", "bob"}
    found = summarize(key, ratings)
    assert found["runs"][str(runs[0])]["value"] == 1.0
    assert found["runs"][str(runs[1])]["value"] == 0.0
    assert found["runs"][str(runs[0])]["n"] + found["runs"][str(runs[1])]["n"] == 8
    assert 0 < found["alpha"]["value"] < 1
    assert write_disputed(key, ratings, runs, tmp_path / "third", side=64) == 2
    assert (tmp_path / "third" / "sheet-000.png").is_file()


def test_a_preference_is_of_the_run_and_not_of_the_side(runs: list[Path], tmp_path: Path, pair_store: Path) -> None:
    key, ratings = tmp_path / "key.json", tmp_path / "ratings"
    ballot = Ballot(count=6, compare=True, side=64)
    write_sheets(runs, tmp_path / "s", key, ballot=ballot, controls=pair_store)
    items = key_of(key)
    assert {item["left"] for item in items} == {0, 1}
    votes = [
        {"k": item["k"], "left": "right", "right": "right", "better": "left" if item["left"] == 1 else "right"}
        for item in items
    ]
    read_votes(key, vote(tmp_path / "v.jsonl", votes), ratings, rater="ada")
    found = summarize(key, ratings)["preference"]
    assert (found["win"], found["tie"], found["lose"], found["n"]) == (6, 0, 0, 6)
    assert found["p"] == pytest.approx(2 / 2**6)
    assert found["controls"] == {"win": 2, "tie": 0, "lose": 0}
    assert len(read_preferences(ratings)["ada"]) == 8


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"k": 0, "answer": "ok"}, "answer must be one of right, wrong, cannot_tell, got 'ok'"),
        ({"k": 99, "answer": "right"}, "number 99 is not in the key"),
        ({"k": 0, "answer": "right", "parts": ["hand"]}, "parts and box belong to the answer wrong"),
        ({"k": 0, "answer": "wrong", "box": [0.5, 0, 0.2, 1]}, "box must be"),
        ({"answer": "right"}, "'k'"),
    ],
)
def test_a_line_that_is_no_vote_is_named_and_nothing_is_written(
    runs: list[Path], tmp_path: Path, line: dict[str, Any], said: str
) -> None:
    key = tmp_path / "key.json"
    write_sheets(runs, tmp_path / "s", key, ballot=Ballot(count=2, side=64))
    votes = vote(tmp_path / "v.jsonl", [{"k": 1, "answer": "right"}, line])
    with pytest.raises(InputError, match=r"v.jsonl:2 is no vote") as caught:
        read_votes(key, votes, tmp_path / "ratings", rater="ada")
    assert said in str(caught.value)
    assert not (tmp_path / "ratings").exists()


def test_the_key_must_not_lie_among_the_sheets(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="where raters do not look"):
        write_sheets(runs, tmp_path / "s", tmp_path / "s" / "key.json")
    with pytest.raises(InputError, match="takes two runs, got 1"):
        write_sheets(runs[:1], tmp_path / "s", tmp_path / "key.json", ballot=Ballot(compare=True))


@pytest.fixture
def pair_store(tmp_path: Path) -> Path:
    """Defects and null edits of random pixels."""
    with PairWriter(tmp_path / "pairs", {"size": 32}, 12) as writer:
        writer.write_chunk(0, [pair(index) for index in range(12)], Counter(), 0.1)
        writer.finish(Manifest(kind="pairs"))
    return tmp_path / "pairs"
