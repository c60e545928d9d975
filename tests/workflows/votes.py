"""Synthetic votes: what raters who know the truth would say. No person rated anything here."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from asap.benchmark.suite import load_suite
from asap.cli.app import main

Truth = Callable[[int, int], bool]
"""Prompt's place in its suite and seed to whether the image is wrong."""


def rate_runs(
    runs: list[Path],
    truths: Sequence[Truth],
    folder: Path,
    *,
    count: int,
    raters: Mapping[str, Callable[[int], bool]],
    compare: bool = False,
    suite: str = "haf-lite",
) -> Path:
    """Sheets and votes by command, as a user makes them; returns the folder of ratings.

    Args:
        runs: as `asap bench run` leaves them.
        truths: of each run.
        folder: for key, sheets, votes and ratings.
        count: places to rate.
        raters: by name, on which numbers of the sheets a rater errs.
        compare: two runs side by side; the better one is the one that is right, if only one is.
        suite: of the runs.
    """
    key, ratings = folder / "key.json", folder / "ratings"
    words = ["bench", "rate", *map(str, runs), "--key", str(key), "--sheets", str(folder / "sheets")]
    assert main([*words, "--count", str(count), *(["--compare"] if compare else [])]) == 0
    places = {row.id: place for place, row in enumerate(load_suite(suite).prompts)}
    for rater, errs in raters.items():
        votes = folder / f"synthetic-votes-of-{rater}.jsonl"
        lines = [_vote(item, places, truths, errs(item["k"])) for item in json.loads(key.read_text())["items"]]
        votes.write_text("".join(json.dumps(line) + "\n" for line in lines))
        words = ["bench", "rate", "--key", str(key), "--votes", str(votes), "--rater", rater, "--ratings", str(ratings)]
        assert main(words) == 0
    return ratings


def _vote(item: Mapping[str, Any], places: Mapping[str, int], truths: Sequence[Truth], errs: bool) -> dict[str, Any]:
    def wrong(one: Mapping[str, Any]) -> bool:
        return bool(truths[one["run"]](places[one["prompt_id"]], one["seed"]) != errs)

    word = {True: "wrong", False: "right"}
    if "sides" not in item:
        return {"k": item["k"], "answer": word[wrong(item)]}
    left, right = (wrong(item["sides"][side]) for side in (item["left"], 1 - item["left"]))
    better = "tie" if left == right else "right" if left else "left"
    return {"k": item["k"], "left": word[left], "right": word[right], "better": better}
