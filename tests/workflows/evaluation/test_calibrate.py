"""Calibrating any judge on pairs of known truth."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asap.benchmark.domain import Domain
from asap.benchmark.judge import CALIBRATION
from asap.benchmark.verdict import Judge, JudgeInput, Verdict
from asap.core.errors import ConfigError, InputError, UnknownNameError
from asap.core.manifest import Manifest
from asap.stores.pairs import PairWriter
from asap.workflows.evaluation import calibrate as calibrating
from asap.workflows.evaluation.judges import judge_by_name
from tests.stores.samples import pair

COUNT = 30


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pairs") / "store"
    with PairWriter(root, {"seed": 5}, COUNT) as writer:
        writer.write_chunk(0, [pair(index, split="test") for index in range(COUNT)], {}, 0.1)
        writer.finish(Manifest(kind="pairs", config={"seed": 5}))
    return root


class Knowing(Judge):
    """Fails whatever is rejected, null edits too, but for every tenth image, on which it fails itself."""

    name, fingerprint = "knowing", "f" * 64

    def judge(self, images: Iterable[JudgeInput]) -> Iterator[Verdict]:
        for place, picture in enumerate(images):
            wrong, error = picture.key[1] == 1, place % 20 == 1
            yield Verdict(
                fails=None if error else wrong,
                probability=None if error else float(wrong),
                parts={},
                not_visible=(),
                attributes={},
                error=error,
            )


def test_any_judge_is_measured(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrating, "judge_by_name", lambda *_, **__: Knowing())
    found = calibrating.calibrate_on("knowing", [pairs], tmp_path)
    assert json.loads((tmp_path / CALIBRATION).read_text()) == json.loads(json.dumps(found))
    assert found["fingerprint"] == Knowing.fingerprint
    assert found["notes"]["errors"] == 3
    assert found["all"]["unscored"] == 3
    # 24 of 30 are defects; three of them have no verdict; the six null edits all fail, which is wrong
    se, sp = found["all"]["sensitivity"], found["all_clean"]
    assert (se["right"], se["n"], sp["right"], sp["n"]) == (21, 21, 30, 36)
    assert found["domain"] == "edited renders at 32 px"
    assert found["measured_on"] == [Domain(kind="rendered", size=32).to_json()]
    assert found["null"]["null_failure_rate"]["value"] == 1
    assert set(found["by_size"]) == {"8 % and more"}
    assert set(found["by_source"]) == {"rendered"}
    assert found["by_severity"]["1"]["sensitivity"]["n"] > 0


def test_a_limit_spreads_over_the_store(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrating, "judge_by_name", lambda *_, **__: Knowing())
    assert calibrating.calibrate_on("knowing", [pairs], tmp_path, limit=7)["notes"]["pairs"] == 7


def test_only_vlm_compares(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrating, "judge_by_name", lambda *_, **__: Knowing())
    with pytest.raises(InputError, match="one image at a time"):
        calibrating.calibrate_on("knowing", [pairs], tmp_path, pairwise=True)


@pytest.mark.parametrize(
    ("name", "options", "error", "said"),
    [
        ("gemini", {}, UnknownNameError, "known: .*human, landmarks, learned, vlm"),
        ("vlm", {"url": "http://localhost/v1"}, ConfigError, "judge vlm: model is missing"),
        (
            "vlm",
            {"url": "http://localhost/v1", "model": "m", "vote": 3},
            ConfigError,
            "unknown key 'vote', did",
        ),
        ("vlm", {"url": "http://localhost/v1", "model": "m", "votes": "x"}, ConfigError, "votes must be"),
        ("learned", {"votes": 3}, ConfigError, "unknown key 'votes'"),
        ("human", {"ratings": "nowhere"}, InputError, "holds no ratings"),
        ("ensemble", {"members": "vlm", "url": "http://l/v1", "model": "m"}, ConfigError, "two or more"),
        ("ensemble", {"members": "vlm+learned", "url": "http://l/v1", "seat": 1}, ConfigError, "seat"),
    ],
)
def test_judges_are_made_by_name(
    name: str, options: dict[str, Any], error: type[Exception], said: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said):
        judge_by_name(name, options, work=tmp_path)


def test_an_ensemble_asks_its_members(tmp_path: Path) -> None:
    found = judge_by_name("ensemble", {"members": "learned+landmarks"}, work=tmp_path)
    image = np.zeros((128, 128, 3), np.uint8)
    verdicts = list(found.judge([JudgeInput(key=("a", 0), image=image, parts=("hand",))] * 2))
    assert [set(verdict.details["members"]) for verdict in verdicts] == [{"learned", "landmarks"}] * 2
    assert found.fingerprint != judge_by_name("learned", work=tmp_path).fingerprint
