"""What a run says of itself while it goes on: held-out pairs, images, guards, the best weights, trackers."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asap.align.heldout import held_out
from asap.core.errors import ConfigError, MissingDependencyError
from asap.core.manifest import Manifest
from asap.stores.pairs import PairWriter
from asap.stores.png import decode
from asap.workflows.runtime.trained import trained_hash
from asap.workflows.training import validation
from asap.workflows.training.run import TrainResult, train
from asap.workflows.training.validation import Report
from tests.stores.samples import pair


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pairs to learn from and eight to look at, of which six are defects."""
    root = tmp_path_factory.mktemp("validation") / "pairs"
    with PairWriter(root, {}, 20) as writer:
        rows = [pair(index, split="train" if index < 12 else "val") for index in range(20)]
        writer.write_chunk(0, rows, {}, 0.1)
        writer.finish(Manifest(kind="pairs"))
    return root


def run(pairs: Path, out: Path, *, steps: int = 4, **options: Any) -> TrainResult:  # noqa: ANN401
    track, prompts = options.pop("track", ()), options.pop("prompts", ())
    settings = {"precision": "fp32", "validate_every": 2, "validation_images": 2, "validation_steps": 2, **options}
    how: dict[str, Any] = {"batch_size": 2, "lora_rank": 2, "lr": 1e-2, **settings}
    return train("tiny", pairs, out, steps=steps, track=track, prompts=prompts, **how)


def log(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def validations(out: Path) -> dict[int, dict[str, Any]]:
    """By steps taken."""
    return {row["step"] + 1: row["validation"] for row in log(out) if "validation" in row}


def test_held_out_pairs_pictures_and_the_best_weights(pairs: Path, tmp_path: Path) -> None:
    result = run(pairs, tmp_path / "run", prompts=("a hand", "a face"))
    found = validations(tmp_path / "run")
    assert sorted(found) == [0, 2, 4]
    assert found[0]["loss"] == 1.0
    assert found[0]["accuracy"] == found[0]["delta"] == found[0]["winner_rise"] == 0.0
    assert found[4]["delta"] != 0.0
    assert found[4]["pairs"] == 6
    assert found[4]["by_part"] == {"hand": {"accuracy": found[4]["accuracy"], "n": 6}}
    assert sorted(found[4]["by_operation"]) == ["fused"]
    best = min(found, key=lambda step: found[step]["loss"])
    assert result["best_step"] == best
    if best:
        assert Manifest.read(tmp_path / "run/best/manifest.json").notes["steps"] == best
    pictures = {step: picture(tmp_path / "run", step) for step in found}
    assert pictures[0].shape == (32, 32, 3)
    assert not np.array_equal(pictures[0], pictures[4])
    assert len([row for row in log(tmp_path / "run") if "loss" in row]) == 4


def picture(out: Path, step: int) -> Any:  # noqa: ANN401
    return decode((out / "validation" / f"step-{step:06d}" / "01.png").read_bytes())


def test_looking_changes_no_weight_and_survives_a_stop(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(pairs, tmp_path / "blind", validate_every=0)
    run(pairs, tmp_path / "seeing")
    assert trained_hash(tmp_path / "blind/adapter") == trained_hash(tmp_path / "seeing/adapter")
    run(pairs, tmp_path / "parts", steps=2)
    run(pairs, tmp_path / "parts")
    assert validations(tmp_path / "parts") == validations(tmp_path / "seeing")


def test_guards_end_a_run(pairs: Path, tmp_path: Path) -> None:
    result = run(pairs, tmp_path / "texture", stop_on_texture=1.0000001, steps=40)
    assert result["steps"] < 40
    assert "validation images" in result["stopped"]
    drift = run(pairs, tmp_path / "drift", stop_on_drift=1e-9, validate_every=0, steps=40)
    assert drift["steps"] == 20
    assert "away from 1" in drift["stopped"]
    with pytest.raises(ConfigError, match="stop_on_texture needs images"):
        run(pairs, tmp_path / "none", stop_on_texture=2.0, validation_images=0)


def test_texture_is_the_larger_ratio() -> None:
    report = Report(step=1, numbers={"high_frequency": 0.2, "grid": 1.5})
    assert report.texture({"high_frequency": 0.1, "grid": 1.0}) == pytest.approx(2.0)
    assert report.texture({"high_frequency": 0.4, "grid": 1.0}) == pytest.approx(1.5)
    assert report.texture({}) == 1.0


def records(path: Path) -> list[bytes]:
    """The events of a TensorBoard file: length (8 bytes), its checksum (4), data, its checksum (4)."""
    data, place, found = path.read_bytes(), 0, []
    while place < len(data):
        (size,) = struct.unpack_from("<Q", data, place)
        found.append(data[place + 12 : place + 12 + size])
        place += 16 + size
    return found


def test_tensorboard_gets_every_number_and_the_pictures(pairs: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run(pairs, tmp_path / "run", track=("tensorboard",))
    (file,) = (tmp_path / "run" / "tensorboard").rglob("events.*")
    events = b"".join(records(file))
    names = [
        f"train/{name}" for name in ("loss", "delta", "accuracy", "winner_rise_inside", "norm_ratio", "loser_rise")
    ]
    for name in (*names, "held_out/accuracy", "held_out/accuracy_part/hand", "held_out/grid", "validation"):
        assert name.encode() in events, name
    assert events.count(b"train/loss") == 4
    assert events.count(b"held_out/accuracy_part/hand") == 3


def test_trackio_gets_every_number_and_a_later_sitting_goes_on(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two runs in folders of one name stay two; standard output is the command's answer alone."""
    pytest.importorskip("trackio")
    from trackio import utils
    from trackio.sqlite_storage import SQLiteStorage

    monkeypatch.setattr(utils, "TRACKIO_DIR", tmp_path / "trackio")
    monkeypatch.setattr("trackio.sqlite_storage.TRACKIO_DIR", tmp_path / "trackio")
    for folder in ("one", "two"):
        run(pairs, tmp_path / folder / "run", track=("trackio",))
    run(pairs, tmp_path / "one" / "run", steps=6, track=("trackio",))
    assert capfd.readouterr().out == ""
    runs = SQLiteStorage.get_runs("asap")
    assert len(runs) == 2
    assert all(name.startswith("run-") for name in runs)
    logged = {name: SQLiteStorage.get_logs("asap", name) for name in runs}
    losses = {name: [row["train/loss"] for row in rows if "train/loss" in row] for name, rows in logged.items()}
    assert sorted(len(values) for values in losses.values()) == [4, 6]
    longest = max(losses.values(), key=len)
    assert longest == [row["loss"] for row in log(tmp_path / "one" / "run") if "loss" in row]


def test_wandb_offline_keeps_numbers_and_pictures_under_one_id(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    out = tmp_path / "run"
    run(pairs, out, track=("wandb",))
    run(pairs, out, steps=6, track=("wandb",))
    known = json.loads((out / "tracking.json").read_text())["run"]
    sittings = sorted((out / "wandb").glob("offline-run-*"))
    assert len(sittings) == 2
    for folder in sittings:
        (file,) = folder.glob("*.wandb")
        assert file.name == f"run-{known}.wandb"
        assert b"held_out/accuracy_part/hand" in file.read_bytes()
        assert list((folder / "files" / "media" / "images").glob("validation_*.png"))
    run(pairs, out, track=("wandb",), resume=False)
    assert json.loads((out / "tracking.json").read_text())["run"] != known
    assert len(list((out / "wandb").glob("offline-run-*"))) == 1


def test_a_tracker_that_is_absent_or_unknown(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match=r"needs the package wandb, .*pip install wandb"):
        run(pairs, tmp_path / "run", track=("wandb",))
    with pytest.raises(ConfigError, match="track must be a list, each one of tensorboard, trackio, wandb, got"):
        run(pairs, tmp_path / "run", track=("wandbb",))
    assert not (tmp_path / "run").exists()


def test_validation_makes_no_larger_batches_than_training(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []

    def spy(objective: Any, batch: Any, noise: Any) -> Any:  # noqa: ANN401
        batches.append(noise.time.numel())
        return held_out(objective, batch, noise)

    monkeypatch.setattr(validation, "held_out", spy)
    run(pairs, tmp_path / "run", steps=2, held_out_samples=1)
    assert batches == [2, 2, 2] * 2
