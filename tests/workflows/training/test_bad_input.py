"""What users get wrong, each through the command: exit code 2, one line that says what to do, and nothing spoiled."""

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asap.backbones import load
from asap.backbones.mini.backbone import MiniBackbone
from asap.cli import main
from asap.core.manifest import Manifest
from asap.stores.checkpoints import CheckpointStore
from asap.stores.pairs import PairRow, PairStore, PairWriter
from asap.stores.trainlog import read_log
from asap.workflows.training import latents as encode
from asap.workflows.training.crops import Cropper, CropSettings
from tests.stores.samples import pair
from tests.workflows.training.test_config import ROOT
from tests.workflows.training.test_settings import store


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(tmp_path_factory.mktemp("bad") / "pairs")


@pytest.fixture
def refused(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Trains with further words and returns the one line of complaint."""

    def run(*words: str, model: str = "tiny") -> str:
        capsys.readouterr()
        given = ["--model", model, "--pairs", str(pairs), "--out", str(tmp_path / "run"), "--steps", "3"]
        assert main(["train", *given, "--batch-size", "2", "--precision", "fp32", *words]) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("asap: error: ")]
        assert len(lines) == 1
        return lines[0].removeprefix("asap: error: ")

    return run


def test_a_folder_of_another_family(refused: Callable[..., str], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    assert "has no model_index.json" in refused(model=str(folder))
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "KandinskyPipeline"}))
    line = refused(model=str(folder))
    assert "is a KandinskyPipeline, which is not supported; supported are flux: FluxPipeline" in line
    assert refused(model=str(tmp_path / "none")).startswith(f"there is no folder {tmp_path}/none; name a pipeline")
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_none(refused: Callable[..., str], tmp_path: Path) -> None:
    assert refused("--device", "gpu") == "device must be auto, cpu, cuda, cuda:1 or another of torch, got 'gpu'"
    assert not (tmp_path / "run").exists()


def test_an_autoencoder_that_overflows(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As SDXL's does in float16."""
    original = MiniBackbone.vae_encode
    monkeypatch.setattr(MiniBackbone, "vae_encode", lambda self, images: original(self, images).half() * 1e9)
    line = refused("--cache", str(tmp_path / "cache"))
    assert line == "the autoencoder of tiny overflows in float16; load it with dtype bfloat16 or float32"
    assert not (tmp_path / "run").exists()


def test_a_rank_of_0(refused: Callable[..., str], tmp_path: Path) -> None:
    assert refused("--lora-rank", "0") == "--lora-rank must be at least 1, got 0"
    assert not (tmp_path / "run").exists()


def changed(monkeypatch: pytest.MonkeyPatch, **how: Any) -> None:  # noqa: ANN401
    """Every row that is read is changed in these fields."""
    original = PairStore.row
    monkeypatch.setattr(PairStore, "row", lambda self, at: replace(original(self, at), **how))


def test_a_pair_without_a_mask(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    changed(monkeypatch, mask=np.zeros((32, 32), np.uint8))
    line = refused("--cache", str(tmp_path / "cache"))
    assert "has an empty mask, so nothing says where its sides differ" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("side", ["chosen", "rejected", "mask"])
def test_a_pair_of_two_sizes(
    side: str, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    changed(monkeypatch, **{side: np.zeros((16, 32) if side == "mask" else (16, 32, 3), np.uint8)})
    assert "must be of one size; build the pairs anew" in refused("--cache", str(tmp_path / "cache"))
    assert not (tmp_path / "run").exists()


def test_pixels_that_are_no_numbers(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    original = PairStore.row

    def broken(self: PairStore, at: int) -> PairRow:
        row = original(self, at)
        picture: Any = row.chosen.astype(np.float32)
        picture[0, 0, 0] = np.nan
        return replace(row, chosen=picture)

    monkeypatch.setattr(PairStore, "row", broken)
    assert "uint8" in refused("--cache", str(tmp_path / "cache"))
    assert not (tmp_path / "run").exists()


def test_a_full_disk_at_a_checkpoint_leaves_the_last_good_one(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, pairs: Path, tmp_path: Path
) -> None:
    """The second checkpoint finds no room when its bytes are synced; a later run goes on from the first."""
    original, seen = os.fsync, []

    def sync(handle: int) -> None:
        name = os.readlink(f"/proc/self/fd/{handle}")
        if name.endswith("step-000002.pt"):
            seen.append(name)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(handle)

    monkeypatch.setattr("asap.core.files.os.fsync", sync)
    line = refused("--checkpoint-every", "1")
    assert seen
    room = "the previous checkpoint is still there; free disk space and run the same command again"
    assert line == f"cannot write {tmp_path}/run/checkpoints/step-000002.pt: No space left on device; {room}"
    folder = tmp_path / "run" / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["latest.json", "step-000001.pt"]
    saved = CheckpointStore(folder).latest()
    assert saved is not None
    assert saved["step"] == 1
    monkeypatch.setattr("asap.core.files.os.fsync", original)
    given = ["--model", "tiny", "--pairs", str(pairs), "--out", str(tmp_path / "run"), "--steps", "3"]
    assert main(["train", *given, "--batch-size", "2", "--precision", "fp32"]) == 0
    assert [row["step"] for row in read_log(tmp_path / "run" / "log.jsonl")] == [0, 1, 2]


def test_a_full_disk_at_encoding_is_said_and_costs_nothing(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, pairs: Path, tmp_path: Path
) -> None:
    original = os.fsync

    def sync(handle: int) -> None:
        if os.readlink(f"/proc/self/fd/{handle}").endswith("loser.bin"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(handle)

    monkeypatch.setattr("asap.stores.latents.os.fsync", sync)
    cache = ["--cache", str(tmp_path / "cache")]
    line = refused(*cache)
    assert "loser.bin: No space left on device; make room or choose another cache folder" in line
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr("asap.stores.latents.os.fsync", original)
    given = ["--model", "tiny", "--pairs", str(pairs), "--out", str(tmp_path / "run"), "--steps", "1", *cache]
    assert main(["train", *given, "--batch-size", "2", "--precision", "fp32"]) == 0


@pytest.mark.parametrize("name", ["MEGATRON_LM", "DEEPSPEED"])
def test_a_launcher_that_is_not_supported(
    name: str, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"ACCELERATE_USE_{name}", "true")
    assert f"does not support {name}; launch it with configs/accelerate/ddp.yaml" in refused()


@pytest.mark.parametrize(
    ("version", "efficient", "line"),
    [
        ("1", "false", "the launcher asks for FSDP1; set fsdp_version: 2"),
        ("2", "true", "fsdp_cpu_ram_efficient_loading leaves the text encoders of all processes but one without"),
    ],
)
def test_a_launcher_that_spreads_them_otherwise(
    version: str, efficient: str, line: str, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", version)
    monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", efficient)
    assert line in refused()


def test_the_launcher_files_are_what_accelerate_reads() -> None:
    from accelerate.commands.config.config_args import ClusterConfig

    found = sorted((ROOT / "configs" / "accelerate").glob("*.yaml"))
    assert [path.name for path in found] == ["ddp.yaml", "fsdp2.yaml", "machines.yaml"]
    for path in found:
        config = ClusterConfig.from_yaml_file(str(path))
        assert config.distributed_type == {"fsdp2": "FSDP"}.get(path.stem, "MULTI_GPU")
        assert config.num_processes > 1


def test_pictures_of_several_shapes_in_one_store_keep_their_masks_whole(tmp_path: Path) -> None:
    """Wide and tall images are cut to the square around the mask: what is trained on is what was in it."""
    rows = []
    for index in range(4):
        row = pair(index, split="train")
        wide = np.pad(row.chosen, ((0, 0), (32 * (index % 2), 16), (0, 0)))
        bad = np.pad(row.rejected, ((0, 0), (32 * (index % 2), 16), (0, 0)))
        mask = np.pad(row.mask, ((0, 0), (32 * (index % 2), 16)))
        rows.append(replace(row, chosen=wide, rejected=bad, mask=mask, regions=mask // 255))
    with PairWriter(tmp_path / "pairs", {}, 4) as writer:
        writer.write_chunk(0, rows, {}, 0.1)
        writer.finish(Manifest(kind="pairs"))
    opened = PairStore.open(tmp_path / "pairs")
    assert {row.chosen.shape for row in opened.rows(range(4))} == {(32, 48, 3), (32, 80, 3)}
    cropper = Cropper(load("tiny"), CropSettings())
    for stored in opened.rows(range(4)):
        squared, _ = encode._cropped(stored, cropper)
        assert squared.chosen.shape == squared.rejected.shape == (32, 32, 3)
        assert squared.mask.sum() == stored.mask.sum()
    given = ["--model", "tiny", "--pairs", str(tmp_path / "pairs"), "--out", str(tmp_path / "run"), "--steps", "1"]
    assert main(["train", *given, "--batch-size", "4", "--precision", "fp32"]) == 0
