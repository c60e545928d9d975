"""Training runs as callers see them: folders, lineage, resuming, and one clear line for every mistake."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from asap.align.trainer import Metrics, Trainer
from asap.backbones import Backbone, TextCondition, load
from asap.backbones.family import LoadOptions
from asap.backbones.fingerprint import model_fingerprint
from asap.core.errors import ConfigError, InputError, StoreError, TrainingError, UnknownNameError
from asap.core.manifest import Instrument, Manifest
from asap.stores.checkpoints import CheckpointStore
from asap.stores.pairs import PairWriter
from asap.workflows.runtime.trained import apply_trained, trained_hash
from asap.workflows.training import latents as encode
from asap.workflows.training import plan as planning
from asap.workflows.training.card import settings_summary
from asap.workflows.training.run import TrainResult, train
from tests.backbones.tiny import sdxl
from tests.stores.samples import SIZE, pair

GATE = Instrument("pair_gate", "gates", "abc")


def store(root: Path, count: int = 16, size: int = SIZE) -> Path:
    with PairWriter(root, {"size": size}, count) as writer:
        writer.write_chunk(0, [pair(index, split="train", size=size) for index in range(count)], {}, 0.1)
        writer.finish(Manifest(kind="pairs", config={"size": size}, instruments=(GATE,)))
    return root


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(tmp_path_factory.mktemp("stage") / "pairs")


def run(pairs: Path, out: Path, **settings: Any) -> TrainResult:  # noqa: ANN401
    how = {"steps": 4, "batch_size": 3, "lora_rank": 2, "precision": "fp32"}
    return train("tiny", pairs, out, **{**how, **settings})


def rows(out: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in found]


def test_what_a_run_leaves(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = run(pairs, out, snapshots=(2,))
    assert sorted(path.name for path in out.iterdir()) == [
        "adapter",
        "checkpoints",
        "config.json",
        "log.jsonl",
        "manifest.json",
        "snapshots",
    ]
    assert result["steps"] == 4
    assert result["weights"] == str(out / "adapter")
    manifest = Manifest.read(out / "manifest.json")
    loss, steps = manifest.config["loss"], manifest.config["training"]
    assert isinstance(loss, dict)
    assert isinstance(steps, dict)
    assert {"alpha": 10.0, "tau": 0.05, "scale": "reference", "beta": 5000.0, "normalize": True}.items() <= loss.items()
    assert {"steps": 4, "batch_size": 3, "seed": 0, "precision": "fp32"}.items() <= steps.items()
    assert [parent.kind for parent in manifest.parents] == ["pairs", "model"]
    assert manifest.instruments == (GATE,)
    assert manifest.notes["content_hash"] == trained_hash(out / "adapter")
    first = rows(out)[0]
    assert first["step"] == 0
    assert first["delta"] == 0.0
    assert first["loss"] == 1.0


def test_every_setting_is_reported_before_the_first_step(pairs: Path, tmp_path: Path) -> None:
    """The lines are those of the manifest: k, margin, alpha, reduction and everything that decides a step."""
    told: list[str] = []
    run(pairs, tmp_path / "run", method="dpo", steps=1, beta=1234.5, report=told.append)
    config = Manifest.read(tmp_path / "run" / "manifest.json").config
    said = [sorted(line.split()) for line in told]
    for line in settings_summary(config):
        assert said.count(sorted(line.split())) == 1, line
    text = "\n".join(told)
    assert "k=1234.5 margin=none" in text
    assert "reduction  mean over latent elements" in text
    assert " lr=0.0001 " in text


def test_plain_dpo_records_ln_2_first(pairs: Path, tmp_path: Path) -> None:
    run(pairs, tmp_path / "run", method="dpo", steps=1)
    assert rows(tmp_path / "run")[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)


def test_a_snapshot_is_the_shorter_run(pairs: Path, tmp_path: Path) -> None:
    run(pairs, tmp_path / "long", snapshots=(2,))
    run(pairs, tmp_path / "short", steps=2)
    assert trained_hash(tmp_path / "long/snapshots/step-000002/adapter") == trained_hash(tmp_path / "short/adapter")
    assert Manifest.read(tmp_path / "long/snapshots/step-000002/manifest.json").notes["steps"] == 2


def sampled(pipeline: Any) -> Any:  # noqa: ANN401
    generator = torch.Generator().manual_seed(0)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline("a person", num_inference_steps=2, generator=generator, output_type="np").images


def test_the_adapter_loads_outside_our_code(pairs: Path, tmp_path: Path) -> None:
    load("tiny").save_pipeline(tmp_path / "model")
    run(pairs, tmp_path / "run", warmup=0, lr=1e-2)
    pipeline = StableDiffusionPipeline.from_pretrained(
        str(tmp_path / "model"), safety_checker=None, requires_safety_checker=False
    )
    before = sampled(pipeline)
    pipeline.load_lora_weights(str(tmp_path / "run" / "adapter"))
    assert np.abs(sampled(pipeline) - before).max() > 1e-3
    pipeline.unload_lora_weights()
    np.testing.assert_array_equal(sampled(pipeline), before)


@pytest.mark.parametrize("full", [False, True])
def test_saved_weights_are_the_trained_ones(
    pairs: Path, tmp_path: Path, full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainers = []
    original = Trainer.__init__

    def spy(self: Trainer, *args: Any, **keywords: Any) -> None:  # noqa: ANN401
        original(self, *args, **keywords)
        trainers.append(self)

    monkeypatch.setattr(Trainer, "__init__", spy)
    run(pairs, tmp_path / "run", full=full, lora_rank=None if full else 2, lr=1e-2)
    backbone = load("tiny")
    untrained = predict(backbone)
    apply_trained(backbone, tmp_path / "run")
    expected = trainers[0].policy(*inputs(backbone)).detach()
    torch.testing.assert_close(predict(backbone), expected, atol=1e-5, rtol=1e-5)
    assert (expected - untrained).abs().max() > 1e-3


def inputs(backbone: Backbone) -> tuple[Tensor, Tensor, TextCondition]:
    source = torch.Generator().manual_seed(0)
    noised = torch.randn(2, *backbone.latent_shape, generator=source)
    return noised, torch.tensor([0.3, 0.7]), backbone.embed(["a person", "a hand"])


def predict(backbone: Backbone) -> Tensor:
    with torch.no_grad():
        return backbone.denoise(*inputs(backbone))


@pytest.mark.parametrize("full", [False, True])
def test_interrupted_and_resumed_is_uninterrupted(
    pairs: Path, tmp_path: Path, full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"noise_samples": 2, "ema": 0.5, "checkpoint_every": 2}
    settings = {"full": full, "lora_rank": None if full else 2, "steps": 7, **options}
    run(pairs, tmp_path / "whole", **settings)
    original, calls = Trainer.backward, []

    def interrupted(self: Trainer, step: int, scale: float = 1.0) -> Metrics:
        calls.append(step)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return original(self, step, scale)

    monkeypatch.setattr(Trainer, "backward", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(pairs, tmp_path / "parts", **settings)
    assert not (tmp_path / "parts" / "manifest.json").exists()
    run(pairs, tmp_path / "parts", **settings)
    assert calls == [0, 1, 2, 3, 4, 5, 4, 5, 6]
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    name = "denoiser" if full else "adapter"
    assert trained_hash(tmp_path / "parts" / name) == trained_hash(tmp_path / "whole" / name)


def test_a_finished_run_can_be_asked_for_more_steps(pairs: Path, tmp_path: Path) -> None:
    run(pairs, tmp_path / "run", steps=2)
    run(pairs, tmp_path / "run", steps=4)
    run(pairs, tmp_path / "whole", steps=4)
    assert trained_hash(tmp_path / "run/adapter") == trained_hash(tmp_path / "whole/adapter")
    with pytest.raises(InputError, match="has 4 steps already"):
        run(pairs, tmp_path / "run", steps=3)
    assert run(pairs, tmp_path / "run", steps=3, resume=False)["steps"] == 3


def test_pairs_are_encoded_once(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = run(pairs, tmp_path / "one", cache=tmp_path / "cache")

    def fail(*_: object) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(encode, "_encode", fail)
    cached = run(pairs, tmp_path / "two", cache=tmp_path / "cache")
    assert cached["loss"] == fresh["loss"]
    assert trained_hash(tmp_path / "one/adapter") == trained_hash(tmp_path / "two/adapter")


def test_the_reference_is_asked_once_for_several_methods(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"cache": tmp_path / "cache", "reuse_reference": True}
    run(pairs, tmp_path / "asap", **settings)
    run(pairs, tmp_path / "plain", method="dpo", cache=tmp_path / "cache")

    def fail(_: object) -> object:
        def never(*_: object) -> None:
            raise AssertionError("the reference ran")

        return never

    monkeypatch.setattr(planning, "adapter_reference", fail)
    run(pairs, tmp_path / "dpo", method="dpo", **settings)
    assert rows(tmp_path / "dpo") == rows(tmp_path / "plain")
    assert trained_hash(tmp_path / "dpo/adapter") == trained_hash(tmp_path / "plain/adapter")


def test_nan_stops_with_the_last_good_checkpoint(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="must be finite"):
        run(pairs, tmp_path / "run", lr=1e30, checkpoint_every=1)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["checkpoints", "config.json", "log.jsonl"]
    state = CheckpointStore(tmp_path / "run" / "checkpoints").latest()
    assert state is not None
    assert state["step"] == len(rows(tmp_path / "run"))


def test_nan_before_the_first_checkpoint_leaves_nothing(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as caught:
        run(pairs, tmp_path / "run", lr=1e30)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_the_run_stops_when_the_winner_rises(pairs: Path, tmp_path: Path) -> None:
    result = run(pairs, tmp_path / "run", steps=60, full=True, lora_rank=None, lr=1e-2, stop_on_rise=0.01)
    assert 20 <= result["steps"] < 60
    assert "above the reference's" in result["stopped"]
    assert (tmp_path / "run" / "manifest.json").exists()


def test_mistakes(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnknownNameError, match="unknown method 'asp'; known: asap"):
        run(pairs, out, method="asp")
    with pytest.raises(UnknownNameError, match="unknown model 'maxi'"):
        train("maxi", pairs, out)
    with pytest.raises(StoreError, match="is not a pair store"):
        run(tmp_path / "empty", out)
    with pytest.raises(ConfigError, match="unknown key 'gamma'"):
        run(pairs, out, gamma=1)
    with pytest.raises(ConfigError, match="leave one of them out"):
        run(pairs, out, full=True)
    with pytest.raises(ConfigError, match="kinds must be a list, each one of"):
        run(pairs, out, kinds=("broken",))
    with pytest.raises(InputError, match="no training pair of kind null_equal"):
        run(pairs, out, kinds=("null_equal",))
    with pytest.raises(ConfigError, match=r"noise_samples must be at least 1.*steps must be at least 1"):
        run(pairs, out, steps=0, noise_samples=0)
    assert not out.exists()


def test_pictures_smaller_than_the_model_are_refused(tmp_path: Path) -> None:
    small = store(tmp_path / "small", count=4, size=24)
    with pytest.raises(InputError, match="24x24; tiny needs images of at least 32"):
        run(small, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_unsuitable_pairs_are_left_out_before_anything_is_encoded(tmp_path: Path) -> None:
    sizes = (32, 24, 32, 24, 32, 32)  # the fifth has no defect
    with PairWriter(tmp_path / "pairs", {}, len(sizes)) as writer:
        mixed = [pair(index, split="train", size=size) for index, size in enumerate(sizes)]
        writer.write_chunk(0, mixed, {}, 0.1)
        writer.finish(Manifest(kind="pairs", instruments=(GATE,)))
    lines: list[str] = []
    train("tiny", tmp_path / "pairs", tmp_path / "run", report=lines.append, steps=2, batch_size=2, precision="fp32")
    assert [line for line in lines if "left out" in line] == [
        f"2 of 5 pairs are left out: pair {mixed[1].uid} is 24x24; tiny needs images of at least 32 on each side; "
        "build the pairs with a larger --size; and 1 more"
    ]


def test_a_mask_of_another_size_is_refused(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from asap.stores.pairs import PairStore

    original = PairStore.row
    monkeypatch.setattr(PairStore, "row", lambda self, at: replace(original(self, at), mask=np.zeros((8, 8), np.uint8)))
    with pytest.raises(InputError, match=r"mask \(8, 8\) must be of one size"):
        run(pairs, tmp_path / "run", cache=tmp_path / "cache")


def test_other_settings_in_the_same_folder_are_refused(pairs: Path, tmp_path: Path) -> None:
    run(pairs, tmp_path / "run", steps=1)
    with pytest.raises(InputError, match=r"loss.tau is 0.05, not 0.02"):
        run(pairs, tmp_path / "run", steps=1, target_margin=0.02)
    assert (tmp_path / "run" / "manifest.json").exists()


def test_a_damaged_checkpoint_is_noticed(pairs: Path, tmp_path: Path) -> None:
    run(pairs, tmp_path / "run", steps=1)
    (checkpoint,) = (tmp_path / "run" / "checkpoints").glob("*.pt")
    data = bytearray(checkpoint.read_bytes())
    data[len(data) // 2] ^= 1
    checkpoint.write_bytes(data)
    with pytest.raises(StoreError, match="is damaged"):
        run(pairs, tmp_path / "run", steps=2)


def test_the_same_weights_read_otherwise_are_another_model(tmp_path: Path) -> None:
    sdxl.build(tmp_path / "model")
    plain = model_fingerprint(load(tmp_path / "model"))
    velocity = model_fingerprint(load(tmp_path / "model", LoadOptions(schedule={"prediction_type": "v_prediction"})))
    assert plain == model_fingerprint(load(tmp_path / "model"))
    assert plain != velocity
