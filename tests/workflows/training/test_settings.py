"""Settings of a training run by name, from Python and from the command line: one line for each mistake."""

from pathlib import Path

import pytest

from asap.cli import main
from asap.core.errors import ConfigError
from asap.core.manifest import Manifest
from asap.stores.pairs import PairWriter
from asap.workflows.training.run import train
from tests.stores.samples import pair


def store(root: Path) -> Path:
    with PairWriter(root, {}, 4) as writer:
        writer.write_chunk(0, [pair(index, split="train") for index in range(4)], {}, 0.1)
        writer.finish(Manifest(kind="pairs"))
    return root


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("lr=abc", "lr must be a finite number, got 'abc'"),
        ("noise_samples=1.5", "noise_samples must be a whole number, got 1.5"),
        ("normalize=1", "normalize must be true or false, got 1"),
        ("anchor=inf", "anchor must be a finite number, got inf"),
        ("timestep_range=0.5", "timestep_range must be 2 values, each a finite number, got 0.5"),
        ("timestep_range=low,high", "timestep_range must be 2 values, each a finite number, got ('low', 'high')"),
        ("timestep_range=0.8,0.2", "timestep_range must be 0 <= low < high <= 1, got (0.8, 0.2)"),
        ("precision=fp8", "precision must be one of fp32, bf16, fp16, auto, got 'fp8'"),
    ],
)
def test_a_setting_of_another_type_ends_with_2(
    word: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--pairs", str(tmp_path / "none"), "--out", str(tmp_path / "run"), "--set", word]
    assert main(words) == 2
    assert capsys.readouterr().err == f"asap: error: {line}\n"
    assert not (tmp_path / "run").exists()


def test_losses_and_steps_are_checked_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"noise_samples must be .*; sft must be .*; target_margin must be"):
        train("tiny", tmp_path, tmp_path / "run", target_margin="wide", options={"sft": "x", "noise_samples": "y"})


def test_the_time_range_can_be_set(tmp_path: Path) -> None:
    pairs = store(tmp_path / "pairs")
    words = ["--steps", "1", "--batch-size", "2", "--lora-rank", "1", "--set", "precision=fp32"]
    words += [
        "--set",
        "timestep_range=0.25,1",
        "--model",
        "tiny",
        "--pairs",
        str(pairs),
        "--out",
        str(tmp_path / "run"),
    ]
    assert main(["train", *words]) == 0
    settled = Manifest.read(tmp_path / "run" / "manifest.json").config["training"]
    assert isinstance(settled, dict)
    assert settled["time_range"] == [0.25, 1.0]
