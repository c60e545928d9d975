"""Adapters in the names of other programs, read back by diffusers weight by weight; fused models; model cards."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, FluxPipeline
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from asap.backbones import load
from asap.backbones.families import families
from asap.backbones.lorafiles import Lora, renamed
from asap.cli import main
from asap.core.errors import InputError, StoreError, UnknownNameError
from asap.workflows.runtime.trained import apply_trained
from asap.workflows.training.export import export_lora, fuse, read_adapter
from asap.workflows.training.run import train
from tests.workflows.training.test_settings import store

RANK, ALPHA = 2, 3.0
FAMILIES = {family.name: family for family in families()}
READ_BACK = [(name, form) for name, family in FAMILIES.items() if name != "sd3" for form in family.lora_forms]
"""diffusers reads no file of SD3 but its own; the names there are held against its converter of whole checkpoints in
tests/backbones/test_original.py."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401
    """A function from a family's name to a tiny pipeline folder of it."""
    root = tmp_path_factory.mktemp("models")

    def folder(name: str) -> Path:
        if not (root / name).exists():
            importlib.import_module(f"tests.backbones.tiny.{name}").build(root / name)
        return root / name

    return folder


def adapter(model: Path, folder: Path) -> dict[str, Tensor]:
    """Write a random adapter of scale ALPHA / RANK in diffusers' form; returns what it changes, by layer."""
    backbone = load(model)
    component = "unet" if hasattr(backbone.pipeline, "unet") else "transformer"  # type: ignore[attr-defined]
    file, wanted, source = dict[str, Tensor](), dict[str, Tensor](), torch.Generator().manual_seed(0)
    for name, layer in backbone.denoiser.named_modules():
        if not isinstance(layer, nn.Linear | nn.Conv2d) or not f".{name}".endswith(
            tuple(f".{target}" for target in backbone.lora_targets)
        ):
            continue
        if type(backbone).__name__.startswith("Flux") and name.startswith("single") and "qkv_mlp" not in name:
            continue  # FLUX.1: its reader knows the widths of the real model by heart, see below
        shape = tuple(layer.weight.shape)
        down = torch.randn(RANK, *shape[1:], generator=source)
        up = torch.randn(shape[0], RANK, *([1, 1] if len(shape) == 4 else []), generator=source)
        file |= {f"{component}.{name}.lora_A.weight": down, f"{component}.{name}.lora_B.weight": up}
        wanted[name] = change(down, up, ALPHA / RANK)
    folder.mkdir(parents=True)
    notes = {f"{component}.r": RANK, f"{component}.lora_alpha": ALPHA}
    save_file(file, folder / "pytorch_lora_weights.safetensors", metadata={"lora_adapter_metadata": json.dumps(notes)})
    assert len(wanted) >= 4
    return wanted


def change(down: Tensor, up: Tensor, scale: float) -> Tensor:
    return up.flatten(1) @ down.flatten(1) * scale


@pytest.mark.parametrize(("name", "form"), READ_BACK)
def test_diffusers_reads_every_weight_back(name: str, form: str, models: Any, tmp_path: Path) -> None:  # noqa: ANN401
    model = models(name)
    wanted = adapter(model, tmp_path / "adapter")
    export_lora(tmp_path / "adapter", tmp_path / "out.safetensors", form=form, model=str(model))
    pipeline = DiffusionPipeline.from_pretrained(str(model))
    pipeline.load_lora_weights(str(tmp_path), weight_name="out.safetensors")
    denoiser: Any = getattr(pipeline, "unet", None) or pipeline.transformer
    found = {}
    for layer, module in denoiser.named_modules():
        if hasattr(module, "lora_A"):
            key = module.active_adapters[0]
            found[layer] = change(module.lora_A[key].weight, module.lora_B[key].weight, module.scaling[key])
    assert found.keys() == wanted.keys()
    for layer, expected in wanted.items():
        torch.testing.assert_close(found[layer].detach(), expected, atol=1e-5, rtol=1e-5, msg=layer)


@pytest.mark.parametrize("form", FAMILIES["flux"].lora_forms)
def test_single_blocks_of_flux_at_their_real_widths(form: str) -> None:
    """Query, key and value are trained, the map to the hidden layer that shares their name is not."""
    source, block = torch.Generator().manual_seed(0), "single_transformer_blocks.7."
    layers = {}
    for name in ("attn.to_q", "attn.to_k", "attn.to_v"):
        down, up = (torch.randn(*shape, generator=source) for shape in ((RANK, 3072), (3072, RANK)))
        layers[block + name] = Lora(down=down, up=up, scale=0.5)
    with pytest.raises(InputError, match="proj_mlp has no adapter and its size is not known"):
        renamed(layers, FAMILIES["flux"], form)
    file = renamed(layers, FAMILIES["flux"], form, lambda name: {block + "proj_mlp": 12288}[name])
    found = FluxPipeline.lora_state_dict(dict(file))
    for name, lora in layers.items():
        down, up = (found[f"transformer.{name}.{half}.weight"] for half in ("lora_A", "lora_B"))
        torch.testing.assert_close(up @ down, lora.up @ lora.down * 0.5, atol=1e-4, rtol=1e-5)
    assert not found[f"transformer.{block}proj_mlp.lora_B.weight"].any()


def test_what_sd3_changes_is_the_stack_of_its_parts(models: Any, tmp_path: Path) -> None:  # noqa: ANN401
    model = models("sd3")
    wanted = adapter(model, tmp_path / "adapter")
    for form, prefix in (("kohya", "lora_unet_joint_blocks_0_x_block_"), ("comfyui", "diffusion_model.")):
        file = load_file(export_lora(tmp_path / "adapter", tmp_path / "o.safetensors", form=form, model=str(model)))
        if form == "comfyui":
            down, up, scale = *(file[f"{prefix}joint_blocks.0.x_block.attn.qkv.lora_{x}.weight"] for x in "AB"), 1.0
        else:
            down, up = (file[f"{prefix}attn_qkv.lora_{x}.weight"] for x in ("down", "up"))
            scale = float(file[f"{prefix}attn_qkv.alpha"]) / len(down)
        parts = [wanted[f"transformer_blocks.0.attn.to_{x}"] for x in "qkv"]
        torch.testing.assert_close(change(down, up, scale), torch.cat(parts), atol=1e-5, rtol=1e-5)


def test_what_cannot_be_exported(models: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: ANN401
    adapter(models("sana"), tmp_path / "adapter")
    words = ["export", str(tmp_path / "adapter"), "--out", str(tmp_path / "o.safetensors"), "--format", "kohya"]
    assert main([*words, "--model", str(models("sana"))]) == 2
    assert "LoRA files of sana can be written as diffusers, not as kohya" in capsys.readouterr().err
    assert main(words) == 2
    assert "has no manifest that names its model; give --model" in capsys.readouterr().err
    with pytest.raises(UnknownNameError, match="unknown form 'a1111'; known: comfyui, diffusers, kohya"):
        export_lora(tmp_path / "adapter", tmp_path / "o.safetensors", form="a1111")
    with pytest.raises(InputError, match=r"ends with \.safetensors"):
        export_lora(tmp_path / "adapter", tmp_path / "o.pt", form="kohya")
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(StoreError, match="holds no LoRA"):
        read_adapter(other)
    save_file({"unet.a.lokr_w1": torch.ones(1)}, other / "pytorch_lora_weights.safetensors")
    with pytest.raises(StoreError, match=r"no plain LoRA but 'unet\.a\.lokr_w1'"):
        read_adapter(other)
    assert not (tmp_path / "o.safetensors").exists()


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the tiny model."""
    root = tmp_path_factory.mktemp("aligned")
    train("tiny", store(root / "pairs"), root / "run", steps=3, batch_size=2, lora_rank=2, lr=3e-2, precision="fp32")
    return root / "run"


def test_the_run_names_its_model_and_loads_with_every_form(aligned: Path, tmp_path: Path) -> None:
    load("tiny").save_pipeline(tmp_path / "model")
    pictures = []
    for form in ("diffusers", "kohya", "comfyui"):
        file = tmp_path / f"{form}.safetensors"
        assert main(["export", str(aligned), "--format", form, "--out", str(file)]) == 0
        backbone = load(tmp_path / "model")
        backbone.pipeline.load_lora_weights(str(tmp_path), weight_name=file.name)  # type: ignore[attr-defined]
        pictures.append(backbone.sample(["a person"], [0], steps=2))
    backbone = load("tiny")
    base = backbone.sample(["a person"], [0], steps=2)
    apply_trained(backbone, aligned)
    expected = backbone.sample(["a person"], [0], steps=2)
    assert np.abs(expected.astype(int) - base).max() > 3
    for picture in pictures:
        assert np.abs(picture.astype(int) - expected).max() <= 1


def test_a_fused_model_draws_as_with_the_adapter(aligned: Path, tmp_path: Path) -> None:
    out = tmp_path / "fused"
    assert main(["fuse", "--model", "tiny", "--lora", str(aligned), "--out", str(out)]) == 0
    backbone = load("tiny")
    base = backbone.sample(["a person"], [0], steps=2)
    apply_trained(backbone, aligned)
    expected = backbone.sample(["a person"], [0], steps=2)
    fused = load(out)
    assert not getattr(fused.denoiser, "peft_config", None)
    found = fused.sample(["a person"], [0], steps=2)
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert np.abs(found.astype(int) - base).max() > 3
    with pytest.raises(InputError, match="is not empty"):
        fuse("tiny", aligned, out)


def test_the_card_says_what_was_done(aligned: Path) -> None:
    text = (aligned / "adapter" / "README.md").read_text(encoding="utf-8")
    for line in (
        "library_name: diffusers",
        "tags: [text-to-image, asap, lora]",
        "4 pairs of the store `pairs`",
        "Parts: hand 4. Operations: fused 4.",
        "`asap`: the paper: mask weight and a margin that is bounded on both sides",
        "LoRA of rank 2",
        "| steps | 3 of 2 pairs |",
        'pipeline.load_lora_weights("adapter")',
        "--format comfyui",
    ):
        assert line in text, line
