"""One front door: names, folders, hub ids, and where and in which numbers a model is loaded."""

import json
import logging
import shutil
import sys
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
import torch

from asap.align.adapters import AdapterSettings, adapt
from asap.backbones import families, load
from asap.backbones.family import LoadOptions
from asap.backbones.pipeline import PipelineBackbone, diffusers_class
from asap.cli import main
from asap.core.errors import ConfigError, InputError, StoreError, UnknownNameError
from asap.core.manifest import Manifest
from asap.stores.generations import GenerationStore
from tests.backbones import battery
from tests.backbones.tiny import sd15


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("loading") / "sd15"
    sd15.build(root)
    return root


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, which cannot be reached."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(huggingface_hub.constants, name, str(tmp_path), raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def cached(cache: Path, folder: Path, name: str) -> None:
    """A pipeline as the hub's client keeps it."""
    root = cache / f"models--{name.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("0" * 40)
    shutil.copytree(folder, root / "snapshots" / ("0" * 40))


def test_an_unknown_class_is_answered_with_what_is_supported(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "KolorsPipeline"}))
    with pytest.raises(InputError, match=r"is a KolorsPipeline, which is not supported; supported are .*sd15: Stab"):
        load(tmp_path)


def test_a_known_class_with_a_strange_part_is_answered_with_the_part(tmp_path: Path) -> None:
    index = {"_class_name": "StableDiffusionPipeline", "vae": ["diffusers", "ConsistencyDecoderVAE"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match="is a StableDiffusionPipeline with vae ConsistencyDecoderVAE, which is not"):
        load(tmp_path)


def test_a_broken_index_and_a_missing_part_are_named(folder: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(folder, tmp_path / "broken")
    (broken / "model_index.json").write_text("[]")
    with pytest.raises(StoreError, match="holds no settings"):
        load(broken)
    lacking = shutil.copytree(folder, tmp_path / "lacking")
    (lacking / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(StoreError, match=f"cannot read the pipeline in {lacking}: "):
        load(lacking)


def test_each_pipeline_class_belongs_to_one_family() -> None:
    seen: dict[str, list[Any]] = {}
    for family in families.families():
        for name in family.pipelines:
            seen.setdefault(name, []).append(family.parts)
    for name, parts in seen.items():
        if len(parts) > 1:
            classes = [kind for part in parts for kind in part.get("vae", ())]
            assert all("vae" in part for part in parts), name
            assert len(set(classes)) == len(classes), name


def test_a_hub_id_is_read_from_the_cache(folder: Path, cache: Path) -> None:
    """What a family does not use may be missing there, although the index lists it."""
    cached(cache, folder, "someone/model")
    index = cache / "models--someone--model" / "snapshots" / ("0" * 40) / "model_index.json"
    checker = {"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"]}
    index.write_text(json.dumps(json.loads(index.read_text()) | checker))
    backbone = load("someone/model")
    assert backbone.name == "someone/model"
    alike = load(folder)
    assert np.array_equal(backbone.sample(["a hand"], [1], steps=2), alike.sample(["a hand"], [1], steps=2))


@pytest.mark.usefixtures("cache")
def test_a_hub_id_that_is_not_in_the_cache_is_one_line() -> None:
    with pytest.raises(StoreError, match="no model 'someone/else': it is no folder here, and the hub says: ") as caught:
        load("someone/else")
    assert "\n" not in str(caught.value)
    with pytest.raises(UnknownNameError, match=r"unknown model 'not/a/model'; known: .*OWNER/NAME"):
        load("not/a/model")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_numbers_are_for_networks_and_never_for_the_autoencoder(folder: Path, tmp_path: Path, dtype: str) -> None:
    backbone = load(folder, LoadOptions(dtype=dtype))  # type: ignore[arg-type]
    assert isinstance(backbone, PipelineBackbone)
    kinds = {name: next(part.parameters()).dtype for name, part in backbone.pipeline.components.items() if name in NETS}
    assert kinds == {"unet": getattr(torch, dtype), "text_encoder": getattr(torch, dtype), "vae": torch.float32}
    images = battery.pictures(backbone, sd15)
    whole = battery.open_tiny(folder)
    assert torch.equal(backbone.encode(images), whole.encode(images))
    x_t, t = whole.encode(images), torch.tensor([0.3, 0.8])
    ours, theirs = (each.denoise(x_t, t, each.embed(battery.PROMPTS)) for each in (backbone, whole))
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, theirs, atol=0.03, rtol=0.03)
    assert backbone.sample(["a hand"], [0], steps=2).shape == (1, 64, 64, 3)


NETS = ("unet", "text_encoder", "vae")


def test_options_out_of_range_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="dtype must be auto, float32, bfloat16, float16, got 'int4'"):
        load(folder, LoadOptions(dtype="int4"))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"device must be auto, cpu, cuda, .*, got 'warp9'"):
        load(folder, LoadOptions(device="warp9"))
    with pytest.raises(InputError, match="tiny is loaded in float32 and as it is packaged"):
        load("tiny", LoadOptions(dtype="bfloat16"))
    assert load("tiny", LoadOptions(device="cpu", dtype="float32")).name == "tiny"


def test_auto_is_the_process_own_gpu_in_half_numbers_and_else_the_cpu_in_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert LoadOptions().settled() == LoadOptions(device="cpu", dtype="float32")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert LoadOptions().settled() == LoadOptions(device="cuda:0", dtype="bfloat16")
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert LoadOptions(dtype="float32").settled() == LoadOptions(device="cuda:3", dtype="float32")
    assert LoadOptions(device="cpu").settled().dtype == "float32"


@pytest.mark.skipif(torch.cuda.is_available(), reason="the machine has a GPU")
def test_cuda_asked_for_and_absent_is_said(folder: Path) -> None:
    with pytest.raises(InputError, match=r"no device 'cuda' here: .*; choose another, for instance cpu"):
        load(folder, LoadOptions(device="cuda"))


def test_sizes_that_do_not_fit_are_refused(folder: Path) -> None:
    backbone = battery.open_tiny(folder)
    with pytest.raises(InputError, match="sides are multiples of 8, got 64x60"):
        backbone.encode(torch.zeros(1, 3, 64, 60))
    with pytest.raises(InputError, match=r"reads images \(B, 3, H, W\), got \(1, 64, 64\)"):
        backbone.encode(torch.zeros(1, 64, 64))
    broken = torch.zeros(3, 3, 64, 64)
    broken[1, 0, 5, 5] = torch.nan
    with pytest.raises(InputError, match="image 1 of 3 holds pixels that are not finite"):
        backbone.encode(broken)
    with pytest.raises(InputError, match="sides are multiples of 8, got 0x64"):
        backbone.latent_size(0, 64)
    with pytest.raises(InputError, match="one seed per prompt, got 1 prompts and 2 seeds"):
        backbone.sample(["a hand"], [1, 2])
    assert backbone.latent_size(512, 768) == (4, 64, 96)


def test_an_adapter_of_another_model_is_refused_and_not_passed_over(folder: Path, tmp_path: Path) -> None:
    """diffusers only logs that it found no key."""
    from safetensors.torch import save_file

    names = [f"transformer.blocks.0.attn.to_q.lora_{side}.weight" for side in "AB"]
    save_file({name: torch.zeros(2, 2) for name in names}, str(tmp_path / "pytorch_lora_weights.safetensors"))
    backbone = battery.open_tiny(folder)
    with pytest.raises(InputError, match=f"{tmp_path} holds no adapter for sd15: "):
        backbone.load_lora(tmp_path)


def test_an_adapter_is_loaded_without_noise(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("diffusers"), "propagate", True)
    trained = battery.open_tiny(folder)
    adapt(trained, AdapterSettings(rank=1), seed=0)
    trained.save_lora(tmp_path)
    caplog.clear()
    battery.open_tiny(folder).load_lora(tmp_path)
    assert not caplog.messages


def test_a_class_that_the_installed_diffusers_lacks_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asap.backbones.sd15.backbone", None)
    with pytest.raises(InputError, match="is of the family sd15, which needs other packages: import of asap"):
        load(folder)
    with pytest.raises(InputError, match=r"the installed diffusers \S+ has no StableDiffusion9Pipeline; update it"):
        diffusers_class("StableDiffusion9Pipeline")


def test_a_pipeline_with_an_adapter_is_not_saved(folder: Path, tmp_path: Path) -> None:
    backbone = battery.open_tiny(folder)
    adapt(backbone, AdapterSettings(rank=1), seed=0)
    with pytest.raises(InputError, match="sd15 carries an adapter; fuse it"):
        backbone.save_pipeline(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_draws_any_size_that_fits(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["generate", "--model", str(folder), "--seeds", "1", "--steps", "2", "--limit", "1", "--device", "cpu"]
    assert main([*words, "--out", str(tmp_path / "no"), "--width", "60"]) == 2
    assert "sides are multiples of 8, got 64x60" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
    assert main([*words, "--out", str(tmp_path / "wide"), "--width", "96"]) == 0
    store = GenerationStore.open(tmp_path / "wide")
    assert {store.image(row).shape for row in store.rows} == {(64, 96, 3)}
    assert store.manifest.config["size"] == [None, 96]


def test_the_command_loads_as_it_is_told(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["generate", "--model", str(folder), "--seeds", "1", "--steps", "2", "--limit", "1", "--device", "cpu"]
    assert main([*words, "--out", str(tmp_path / "no"), "--dtype", "int4"]) == 2
    assert "invalid choice 'int4'" in " ".join(capsys.readouterr().err.split())
    assert main([*words, "--out", str(tmp_path / "no"), "--schedule", "prediction=v"]) == 2
    assert "has no setting prediction" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
    assert main([*words, "--out", str(tmp_path / "v"), "--schedule", "prediction_type=v_prediction"]) == 0
    config = Manifest.read(tmp_path / "v" / "manifest.json").config
    assert config["schedule"] == {"prediction_type": "v_prediction"}
