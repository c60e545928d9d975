"""The flags that say where a network runs, and how long and on how much at a time it is trained."""

import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from asap.cli.app import main
from asap.workflows.evaluation import learned
from asap.workflows.evaluation import run_judge as judging
from asap.workflows.results import demo, pretrain, reproduce
from asap.workflows.results.pretrain import PretrainConfig
from asap.workflows.training import judge
from asap.workflows.training.judge import JudgeTraining

Seen = dict[str, Any]


@pytest.fixture
def catch(monkeypatch: pytest.MonkeyPatch) -> Callable[[ModuleType, str], Seen]:
    """Put a function in the place of a stage's that only remembers what it is given."""

    def put(module: ModuleType, name: str) -> Seen:
        seen: Seen = {}

        def stage(*args: object, **how: object) -> dict[str, object]:
            seen.update(how, args=args)
            return {}

        monkeypatch.setattr(module, name, stage)
        return seen

    return put


@pytest.mark.parametrize(
    ("module", "name", "words"),
    [
        (pretrain, "pretrain", ["mini", "pretrain", "--data", "d", "--steps", "1", "--out", "o"]),
        (judge, "train", ["judge", "train", "--pairs", "p", "--out", "o"]),
        (learned, "calibrate", ["judge", "calibrate", "--judge", "learned", "--pairs", "p", "--out", "o"]),
        (judging, "run", ["judge", "run", "--judge", "learned", "--generations", "g", "--out", "o"]),
        (demo, "demo", ["demo", "--out", "o"]),
        (reproduce, "mini", ["reproduce", "mini", "--out", "o"]),
    ],
)
def test_the_device_reaches_the_stage(
    module: ModuleType, name: str, words: list[str], catch: Callable[[ModuleType, str], Seen]
) -> None:
    seen = catch(module, name)
    assert main(words) == 0
    assert seen["device"] == "auto"
    assert main([*words, "--device", "cuda:1"]) == 0
    assert seen["device"] == "cuda:1"


def test_sizes_of_pretraining_are_the_recipe_s_unless_said(catch: Callable[[ModuleType, str], Seen]) -> None:
    seen = catch(pretrain, "pretrain")
    words = ["mini", "pretrain", "--data", "d", "--steps", "5", "--out", "o"]
    assert main(words) == 0
    assert seen["args"][2] == PretrainConfig(steps=5)
    assert seen["save_seconds"] == 180
    assert main([*words, "--batch-size", "256", "--lr", "1e-3", "--save-every", "30"]) == 0
    assert seen["args"][2] == PretrainConfig(steps=5, batch=256, lr=1e-3)
    assert seen["save_seconds"] == 30


def test_sizes_of_the_judge_s_training_are_its_own_unless_said(catch: Callable[[ModuleType, str], Seen]) -> None:
    train = judge.train
    seen = catch(judge, "train")
    words = ["judge", "train", "--pairs", "p", "--out", "o"]
    assert main(words) == 0
    assert seen["settings"] == JudgeTraining()
    assert seen["rounded"] == inspect.signature(train).parameters["rounded"].default
    assert seen.pop("init") is None
    more = ["--batch-size", "64", "--epochs", "2.5", "--window-epochs", "0", "--lr", "1e-3", "--rounded", "9"]
    assert main([*words, *more, "--init", "learned"]) == 0
    assert seen["init"] == "learned"
    assert seen["settings"] == JudgeTraining(batch=64, epochs=2.5, window_epochs=0, learning_rate=1e-3)
    assert seen["rounded"] == 9


@pytest.mark.parametrize(
    "words", [["mini", "pretrain", "--steps", "1"], ["demo"], ["reproduce", "mini", "--work", "w"]]
)
def test_a_device_that_lacks_is_told_before_anybody_is_rendered(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*words, "--out", "out", "--device", "cuda:99"]) == 2
    assert "no device 'cuda:99' here" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_weights_that_are_none_are_told_before_anybody_is_rendered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["mini", "pretrain", "--steps", "1", "--init", str(tmp_path / "none"), "--out", str(out)]) == 2
    assert "none" in capsys.readouterr().err
    assert not out.exists()
