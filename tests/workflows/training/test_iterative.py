"""Rounds of a model's own tries; what the model draws is stood for by greys, and brighter is worse to the screen."""

from pathlib import Path
from typing import Any

import pytest

from asap.benchmark.lineage import refuse_own_examiner
from asap.cli import main
from asap.core.errors import InputError
from asap.core.manifest import Manifest
from asap.stores.pairs import PairStore
from asap.workflows.evaluation.generate import generate
from asap.workflows.runtime.lineage import ancestors
from asap.workflows.runtime.trained import trained_hash
from asap.workflows.training import iterative as rounds
from asap.workflows.training.iterative import RoundSettings, align_in_rounds
from tests.workflows.tries import SCREEN_PRINT, screened

__all__ = ["screened"]

HOW = RoundSettings(model="tiny", count=3, screen="some", draws=5, steps=1, batch_size=1)


@pytest.fixture(name="done")
def _done(screened: None, tmp_path: Path) -> Path:
    del screened
    align_in_rounds(tmp_path / "whole", rounds=2, settings=HOW, device="cpu")
    return tmp_path / "whole"


def test_each_round_begins_with_the_model_of_the_one_before(done: Path) -> None:
    first, second = (PairStore.open(done / f"round-{number}" / "pairs").manifest.config for number in (1, 2))
    assert (first["model"], second["model"]) == ("tiny", str(done / "round-1" / "model"))
    assert first["weights"] != second["weights"]
    assert first["seed"] != second["seed"]
    trained = Manifest.read(done / "round-2" / "run" / "manifest.json")
    assert [parent.path for parent in trained.parents if parent.kind == "model"] == [str(done / "round-1" / "model")]


def test_the_screen_of_any_round_may_not_measure(done: Path, tmp_path: Path) -> None:
    pictures = generate(tmp_path / "pictures", model=str(done / "round-2" / "model"), seeds=1, limit=1)
    manifest = Manifest.read(pictures / "manifest.json")
    with pytest.raises(InputError, match="also picked the training pairs"):
        refuse_own_examiner(SCREEN_PRINT, [manifest])
    kinds = [one.kind for one in ancestors(manifest)]
    assert kinds.count("pairs") == kinds.count("trained") == kinds.count("model") == 2


@pytest.mark.parametrize("stage", ["build_store", "train", "fuse"])
def test_rounds_that_were_stopped_go_on(
    stage: str, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = getattr(rounds, stage)

    def stops(*given: Any, **named: Any) -> Any:  # noqa: ANN401
        if "round-2" in str([*given, *named.values()]):
            (tmp_path / "cut" / "round-2" / "model").mkdir(parents=True, exist_ok=True)  # as a fuse that was killed
            raise KeyboardInterrupt
        return real(*given, **named)

    monkeypatch.setattr(rounds, stage, stops)
    with pytest.raises(KeyboardInterrupt):
        align_in_rounds(tmp_path / "cut", rounds=2, settings=HOW, device="cpu")
    monkeypatch.setattr(rounds, stage, real)
    align_in_rounds(tmp_path / "cut", rounds=2, settings=HOW, device="cpu")
    left, right = (trained_hash(folder / "round-1" / "run" / "denoiser") for folder in (done, tmp_path / "cut"))
    assert left == right
    assert (tmp_path / "cut" / "round-2" / "model" / "manifest.json").is_file()


def test_more_rounds_go_on_and_other_settings_are_refused(done: Path) -> None:
    before = (done / "round-2" / "model" / "manifest.json").stat().st_mtime_ns
    assert align_in_rounds(done, rounds=3, settings=HOW, device="cpu") == done / "round-3" / "model"
    assert (done / "round-2" / "model" / "manifest.json").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="count is 3, not 400"):
        align_in_rounds(done, rounds=3, settings=RoundSettings(model="tiny", screen="some", draws=5), device="cpu")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--rounds", "0"], "at least 1"),
        (["--model", "huge"], "huge"),
        (["--model", "tiny", "--ranker", "no-such-folder"], "no-such-folder holds no learned judge"),
        (["--scene", "beach"], "beach"),
    ],
)
def test_wrong_words(words: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "iterative", "--out", str(tmp_path / "out"), "--count", "1", *words]) == 2
    assert line in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
