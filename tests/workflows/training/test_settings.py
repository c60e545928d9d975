"""Settings of a training run by name, from Python and from the command line."""

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
    ("words", "line"),
    [
        ("--lr abc", "could not convert string to float: 'abc'"),
        ("--noise-samples 1.5", "'1.5'"),
        ("--anchor inf", "--anchor must be at least 0, got inf"),
        ("--ema 1 --lr 0", "--lr must be above 0, got 0.0; --ema must be at least 0 and below 1, got 1.0"),
        ("--timestep-range 0.5", "--timestep-range"),
        ("--timestep-range 0.8 0.2", "timestep_range must be 0 <= low < high <= 1, got (0.8, 0.2)"),
        ("--precision fp8", "invalid choice 'fp8'"),
        ("--kinds defect,odd", "unknown odd; choose from defect, null_pose, null_equal"),
        ("--method mpo", "unknown method 'mpo'; known: asap"),
    ],
)
def test_a_wrong_setting_ends_with_2(words: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["train", "--pairs", str(tmp_path / "none"), "--out", str(tmp_path / "run"), *words.split()]
    assert main(given) == 2
    assert line in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


def test_settings_are_checked_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"loss.target_margin must be .*; loss.sft must be .*; noise.noise_samples"):
        train("tiny", tmp_path, tmp_path / "run", target_margin="wide", sft="x", noise_samples="y")


def test_the_timestep_range_can_be_set(tmp_path: Path) -> None:
    pairs = store(tmp_path / "pairs")
    words = ["--steps", "1", "--batch-size", "2", "--lora-rank", "1", "--precision", "fp32"]
    words += ["--timestep-range", "0.25", "1", "--model", "tiny", "--pairs", str(pairs)]
    assert main(["train", *words, "--out", str(tmp_path / "run")]) == 0
    stored = Manifest.read(tmp_path / "run" / "manifest.json").config["training"]
    assert isinstance(stored, dict)
    assert stored["time_range"] == [0.25, 1.0]
