"""`asap train --model FOLDER` and `asap generate --model FOLDER` on a tiny pipeline of every family."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from asap.backbones import load
from asap.cli import main
from asap.core.manifest import Manifest
from asap.stores.generations import GenerationStore
from asap.stores.pairs import PairWriter
from tests.backbones.test_families import NAMES
from tests.stores.samples import pair


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pairs_of(root: Path, size: int) -> Path:
    with PairWriter(root, {"size": size}, 4) as writer:
        writer.write_chunk(0, [pair(index, split="train", size=size) for index in range(4)], {}, 0.1)
        writer.finish(Manifest(kind="pairs", config={"size": size}))
    return root


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_train_and_generate_find_the_family_by_themselves(name: str, tmp_path: Path) -> None:
    model = tmp_path / "model"
    importlib.import_module(f"tests.backbones.tiny.{name}").build(model)
    backbone = load(model)
    assert type(backbone).__module__.startswith(f"asap.backbones.{name}.")
    pairs, run = pairs_of(tmp_path / "pairs", backbone.resolution), tmp_path / "run"
    steps = ["--steps", "2", "--batch-size", "2", "--lr", "0.05", "--precision", "fp32"]
    assert main(["train", "--model", str(model), "--pairs", str(pairs), "--out", str(run), *steps]) == 0
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "step" in row][:2] == [0, 1]
    assert rows[0]["delta"] == 0
    config = Manifest.read(run / "manifest.json").config
    assert str(config["encoding"]).startswith("deterministic")
    assert config["predicts"] == getattr(backbone.path, "prediction", "flow")
    assert isinstance(config["lora"], dict)
    assert config["lora"]["targets"] == list(backbone.lora_targets)

    for out, adapter in (("base", []), ("aligned", ["--lora", str(run)])):
        arguments = [
            "--model",
            str(model),
            "--seeds",
            "1",
            "--steps",
            "2",
            "--limit",
            "1",
            "--out",
            str(tmp_path / out),
        ]
        assert main(["generate", *arguments, "--out", str(tmp_path / out), *adapter]) == 0
    base, aligned = (GenerationStore.open(tmp_path / out) for out in ("base", "aligned"))
    assert len(base) == len(aligned) > 0
    pictures = [[store.image(row) for row in store.rows] for store in (base, aligned)]
    assert pictures[0][0].shape == (backbone.resolution, backbone.resolution, 3)
    assert any(not np.array_equal(left, right) for left, right in zip(*pictures, strict=True))
