"""What a judge says, whatever it is, and what is kept of it."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from asap.benchmark.verdict import Judge, JudgeInput, Verdict
from asap.stores.verdicts import VerdictStore
from asap.workflows.evaluation import run_judge as judging
from asap.workflows.evaluation.compare import compare
from tests.workflows.runs import make_run


class Lost(Judge):
    """Passes everything, with a probability that is no number on the first two images."""

    name, fingerprint = "lost", "a" * 64

    def judge(self, images: Iterable[JudgeInput]) -> Iterator[Verdict]:
        for place, _ in enumerate(images):
            sure = float("nan") if place < 2 else 0.25
            parts = {"hand": {"visible": 1.0, "wrong": sure}}
            yield Verdict(fails=False, probability=sure, parts=parts, not_visible=(), attributes={})


def test_a_probability_that_is_no_number_is_an_error_and_never_a_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "judge_by_name", lambda *_, **__: Lost())
    told: list[str] = []
    run = make_run(tmp_path / "base", lambda place, seed: True)
    judging.run(run / "pictures", run / "verdicts" / "lost", judge="lost", report=told.append)
    rows = VerdictStore.open(run / "verdicts" / "lost").rows
    assert [row.fails for row in rows].count(None) == 2
    assert told == ["judge 50/50, 2 errors"]
    lost = [row.extra for row in rows if row.fails is None]
    assert all(extra["error"] and extra["probability"] is None for extra in lost)
    assert lost[0]["reason"] == "the judge's probability is nan"
    found = compare([run], tmp_path / "out", judge="lost")["models"]["base"]
    assert (found["aer"]["value"], found["aer"]["n"], found["errors"]) == (0, 48, 2)
    pages = [(tmp_path / "out" / f"compare.{kind}").read_text() for kind in ("md", "csv", "json")]
    assert not any("nan %" in page or ",nan," in page for page in pages)
