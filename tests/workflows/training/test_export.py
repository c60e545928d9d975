"""Adapters in the names of other programs, read back weight by weight; fused models; model cards."""

import hashlib
import importlib
import json
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import DiffusionPipeline, FluxPipeline
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from asap.backbones import load
from asap.backbones.families import families
from asap.backbones.lorafiles import Lora, exported, sgm_name
from asap.cli import main
from asap.core.errors import InputError, StoreError, UnknownNameError
from asap.workflows.runtime.trained import apply_trained
from asap.workflows.training.export import export_lora, fuse, read_adapter
from asap.workflows.training.run import train
from tests.backbones.clients import Change, Place, changes, comfyui_names, comfyui_places, flat
from tests.workflows.training.test_settings import store

RANK, ALPHA = 2, 3.0
FAMILIES = {family.name: family for family in families()}
READ_BACK = [
    (name, form, False)
    for name, family in FAMILIES.items()
    for form in ("diffusers", *family.lora_forms)
    if (name, form) != ("sd3", "kohya")
]
READ_BACK += [(name, "diffusers", True) for name in FAMILIES]
"""diffusers does not read kohya's names of SD3; tests/backbones/test_lorafiles.py has them."""
ON_FLUX = [("flux", "comfyui"), ("flux", "kohya")]
DORA = [*ON_FLUX, ("sdxl", "comfyui"), ("sdxl", "kohya"), ("mini", "comfyui"), ("mini", "kohya")]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401
    """A function from a family's name to a tiny pipeline folder of it."""
    root = tmp_path_factory.mktemp("models")

    def folder(name: str) -> Path:
        if not (root / name).exists():
            importlib.import_module(f"tests.backbones.tiny.{name}").build(root / name)
        return root / name

    return folder


@cache
def trained_layers(model: Path) -> tuple[str, dict[str, Tensor]]:
    """The denoiser's name and the weights of the layers that are trained by default."""
    backbone = load(model)
    ends = tuple(f".{target}" for target in backbone.lora_targets)
    weights = {
        name: layer.weight.detach()
        for name, layer in backbone.denoiser.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d) and f".{name}".endswith(ends)
    }
    return "unet" if hasattr(backbone.pipeline, "unet") else "transformer", weights  # type: ignore[attr-defined]


def adapter(
    model: Path, folder: Path, *, dora: bool = False, singles: bool = True, uneven: bool = False
) -> dict[str, Tensor]:
    """Write a random adapter of alpha ALPHA and rank RANK in diffusers' form; returns the weight with it, by layer.

    Args:
        model: a pipeline folder.
        folder: of the adapter.
        dora: whether rows are scaled, by 0.5 to 1.5 times their length.
        singles: whether single blocks of FLUX.1 have one.
        uneven: whether every other layer has a rank of one more.
    """
    component, layers = trained_layers(model)
    file, wanted, source = dict[str, Tensor](), dict[str, Tensor](), torch.Generator().manual_seed(0)
    for name, weight in layers.items():
        if not singles and name.startswith("single") and "qkv_mlp" not in name:
            continue
        shape, rank = tuple(weight.shape), RANK + (len(wanted) % 2 if uneven else 0)
        down = torch.randn(rank, *shape[1:], generator=source)
        up = torch.randn(shape[0], rank, *([1, 1] if len(shape) == 4 else []), generator=source)
        file |= {f"{component}.{name}.lora_A.weight": down, f"{component}.{name}.lora_B.weight": up}
        new = weight.flatten(1) + change(down, up, ALPHA / rank)
        if dora:
            length = new.norm(dim=1) * (0.5 + torch.rand(shape[0], generator=source))
            file[f"{component}.{name}.lora_magnitude_vector"] = (
                length.reshape(1, -1, 1, 1) if len(shape) == 4 else length
            )
            new = new * (length / new.norm(dim=1))[:, None]
        wanted[name] = new.reshape(shape)
    folder.mkdir(parents=True)
    notes = {f"{component}.r": RANK, f"{component}.lora_alpha": ALPHA, f"{component}.use_dora": dora}
    save_file(file, folder / "pytorch_lora_weights.safetensors", metadata={"lora_adapter_metadata": json.dumps(notes)})
    assert len(wanted) >= 4
    return wanted


def change(down: Tensor, up: Tensor, scale: float) -> Tensor:
    return up.flatten(1) @ down.flatten(1) * scale


def merged(model: nn.Module) -> dict[str, Tensor]:
    """The weight of each layer that has an adapter, with it."""
    found = {}
    for name, module in model.named_modules():
        if hasattr(module, "lora_A"):
            layer: Any = module
            layer.merge()
            found[name] = layer.get_base_layer().weight.detach()
    return found


def compare(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for layer, expected in wanted.items():
        torch.testing.assert_close(found[layer], expected, atol=1e-5, rtol=1e-6, msg=layer)


def denoiser_of(pipeline: Any) -> nn.Module:  # noqa: ANN401
    denoiser: nn.Module = getattr(pipeline, "unet", None) or pipeline.transformer
    return denoiser


@pytest.mark.parametrize(("name", "form", "dora"), READ_BACK)
def test_diffusers_reads_every_weight_back(
    name: str,
    form: str,
    dora: bool,
    models: Any,  # noqa: ANN401
    tmp_path: Path,
) -> None:
    model = models(name)  # FLUX.1's reader of kohya's names knows the widths of the real single blocks by heart
    wanted = adapter(model, tmp_path / "adapter", dora=dora, singles=(name, form) != ("flux", "kohya"))
    export_lora(tmp_path / "adapter", tmp_path / "out.safetensors", form=form, model=str(model))
    pipeline = DiffusionPipeline.from_pretrained(str(model))
    pipeline.load_lora_weights(str(tmp_path), weight_name="out.safetensors")
    compare(merged(denoiser_of(pipeline)), wanted)


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
@pytest.mark.parametrize("name", FAMILIES)
def test_peft_reads_every_weight_back(name: str, dora: bool, models: Any, tmp_path: Path) -> None:  # noqa: ANN401
    model = models(name)
    wanted = adapter(model, tmp_path / "adapter", dora=dora, uneven=not dora)
    out = export_lora(tmp_path / "adapter", tmp_path / "out", form="peft", model=str(model))
    assert {path.name for path in out.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    config = json.loads((out / "adapter_config.json").read_text())
    rank = RANK if dora else RANK + 1
    assert (config["r"], config["lora_alpha"], config["use_dora"]) == (rank, rank, dora)
    component, _ = trained_layers(model)
    kind = getattr(diffusers, json.loads((model / "model_index.json").read_text())[component][1])
    denoiser = kind.from_pretrained(str(model), subfolder=component)
    found = merged(PeftModel.from_pretrained(denoiser, str(out)))
    compare({key.removeprefix("base_model.model."): value for key, value in found.items()}, wanted)
    with pytest.raises(InputError, match="is not empty; the form peft is a folder"):
        export_lora(tmp_path / "adapter", out, form="peft", model=str(model))


def test_single_blocks_of_flux_at_their_real_widths() -> None:
    """Query, key and value are trained, the map to the hidden layer that shares their name is not."""
    source, block = torch.Generator().manual_seed(0), "single_transformer_blocks.7."
    layers = {}
    for name in ("attn.to_q", "attn.to_k", "attn.to_v"):
        down, up = (torch.randn(*shape, generator=source) for shape in ((RANK, 3072), (3072, RANK)))
        layers[block + name] = Lora(down=down, up=up, scale=0.5)

    class Beneath:
        config: Mapping[str, Any] = {}

        def rows(self, layer: str) -> int:
            return {block + "proj_mlp": 12288}[layer]

        def weight(self, layer: str) -> Tensor:
            raise AssertionError(layer)

    file = exported(layers, FAMILIES["flux"], "kohya", "transformer", Beneath())
    found = FluxPipeline.lora_state_dict(dict(file))
    for name, lora in layers.items():
        down, up = (found[f"transformer.{name}.{half}.weight"] for half in ("lora_A", "lora_B"))
        torch.testing.assert_close(up @ down, lora.up @ lora.down * 0.5, atol=1e-4, rtol=1e-5)
    assert not found[f"transformer.{block}proj_mlp.lora_B.weight"].any()


# --- DoRA, after the rules of the programs


def by_lycoris(weight: Tensor, found: Change) -> Tensor:
    """lycoris/modules/locon.py: each row of the sum has the length dora_scale."""
    new = weight + change(found.down, found.up, found.scale)
    assert found.dora is not None
    return found.dora.flatten(1) * F.normalize(new)


def by_comfyui(weight: Tensor, found: Change) -> Tensor:
    """comfy/weight_adapter/base.py: the sum times dora_scale over the length of the row without it."""
    assert found.dora is not None
    new = weight + change(found.down, found.up, found.scale)
    length: Tensor = torch.linalg.vector_norm(weight, dim=1, keepdim=True) + torch.finfo(weight.dtype).eps
    return found.dora.flatten(1) / length * new


@pytest.mark.parametrize(("name", "form"), DORA)
def test_dora_means_the_same_elsewhere(name: str, form: str, models: Any, tmp_path: Path) -> None:  # noqa: ANN401
    model = models(name)
    wanted = adapter(model, tmp_path / "adapter", dora=True)
    file = load_file(export_lora(tmp_path / "adapter", tmp_path / "o.safetensors", form=form, model=str(model)))
    denoiser: Any = load(model).denoiser
    weights = {k.removesuffix(".weight"): v.detach() for k, v in denoiser.named_parameters()}
    if name == "flux":
        places = comfyui_places(name, 16)
        names = comfyui_names(places, "transformer")
    elif name == "sdxl":
        places = {layer: Place(layer, slice(None)) for layer in weights}
        names = {f"lora_unet_{flat(sgm_name(layer, denoiser.config))}": places[layer] for layer in wanted}
    else:
        places = {layer: Place(layer, slice(None)) for layer in weights}
        names = {f"lora_unet_{flat(layer)}": place for layer, place in places.items()}
    before = stacked(weights, places)
    after = {layer: value.clone() for layer, value in before.items()}
    for found in changes(file, names):
        layer, rows = found.place
        assert found.dora is not None
        assert found.dora.shape[1:] == (1,) * (found.down.ndim - 1)
        rule = by_comfyui if form == "comfyui" else by_lycoris
        after[layer][rows] = rule(before[layer][rows], found)
    expected = stacked({**weights, **wanted}, places)
    assert {layer for layer in after if not torch.equal(after[layer], before[layer])}
    compare(after, expected)


def stacked(weights: Mapping[str, Tensor], places: Mapping[str, Place]) -> dict[str, Tensor]:
    """Weights (out, inputs) of a program's own layers."""
    parts: dict[str, list[tuple[int, Tensor]]] = {}
    for layer, weight in weights.items():
        if layer in places and weight.ndim > 1:
            place = places[layer]
            parts.setdefault(place.layer, []).append((place.rows.start or 0, weight.flatten(1)))
    return {
        layer: torch.cat([part for _, part in sorted(rows, key=lambda row: row[0])]) for layer, rows in parts.items()
    }


# --- the files


def test_files_say_what_they_are(models: Any, tmp_path: Path) -> None:  # noqa: ANN401
    model = models("sdxl")
    adapter(model, tmp_path / "gloves" / "adapter")
    path = export_lora(tmp_path / "gloves", tmp_path / "o.safetensors", form="kohya", model=str(model))
    with safe_open(str(path), framework="pt") as file:
        notes = file.metadata()
    data = path.read_bytes()
    digest = hashlib.sha256(data[8 + int.from_bytes(data[:8], "little") :]).hexdigest()
    wanted = {
        "format": "pt",
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": "gloves",
        "modelspec.resolution": "1024x1024",
        "modelspec.hash_sha256": f"0x{digest}",
        "sshs_model_hash": digest,
        "ss_base_model_version": "sdxl_base_v1-0",
        "ss_v2": "False",
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(RANK),
        "ss_network_alpha": str(ALPHA),
        "ss_network_args": "{}",
        "ss_output_name": "gloves",
    }
    assert {key: notes[key] for key in wanted} == wanted
    assert (
        export_lora(tmp_path / "gloves", tmp_path / "again.safetensors", form="kohya", model=str(model)).read_bytes()
        == data
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_half_the_size(dtype: str, models: Any, tmp_path: Path) -> None:  # noqa: ANN401
    model = models("sdxl")
    adapter(model, tmp_path / "adapter", dora=True)
    words = ["export", str(tmp_path / "adapter"), "--format", "kohya", "--model", str(model)]
    for name in ("float32", dtype):
        assert main([*words, "--out", str(tmp_path / f"{name}.safetensors"), "--dtype", name]) == 0
    whole, half = (load_file(tmp_path / f"{name}.safetensors") for name in ("float32", dtype))
    for key, value in whole.items():
        kept = key.endswith((".alpha", ".dora_scale"))
        assert half[key].dtype == (torch.float32 if kept else getattr(torch, dtype))
        torch.testing.assert_close(half[key].float(), value, rtol=0 if kept else 4e-3, atol=0 if kept else 1e-6)


def test_weights_of_the_model_are_read_for_dora_only(models: Any, tmp_path: Path) -> None:  # noqa: ANN401
    bare = shutil.copytree(models("flux"), tmp_path / "bare", ignore=shutil.ignore_patterns("*.safetensors"))
    for dora in (False, True):
        adapter(models("flux"), tmp_path / f"{dora}", dora=dora)
    for form in ("diffusers", "kohya", "comfyui"):
        out = export_lora(tmp_path / "False", tmp_path / f"{form}.safetensors", form=form, model=str(bare))
        assert load_file(out)
    with pytest.raises(StoreError, match=r"transformer holds no \.safetensors weights, which DoRA needs"):
        export_lora(tmp_path / "True", tmp_path / "o.safetensors", form="comfyui", model=str(bare))


def test_what_cannot_be_exported(models: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: ANN401
    adapter(models("sana"), tmp_path / "adapter")
    words = ["export", str(tmp_path / "adapter"), "--out", str(tmp_path / "o.safetensors"), "--format", "kohya"]
    assert main([*words, "--model", str(models("sana"))]) == 2
    assert "LoRA files of sana can be written as diffusers, peft, not as kohya" in capsys.readouterr().err
    assert main(words) == 2
    assert "has no manifest that names its model; give --model" in capsys.readouterr().err
    with pytest.raises(UnknownNameError, match="unknown form 'a1111'; known: comfyui, diffusers, kohya, peft"):
        export_lora(tmp_path / "adapter", tmp_path / "o.safetensors", form="a1111")
    with pytest.raises(UnknownNameError, match="unknown dtype 'fp8'; known: bfloat16, float16, float32"):
        export_lora(tmp_path / "adapter", tmp_path / "o.safetensors", form="kohya", dtype="fp8")
    with pytest.raises(InputError, match=r"ends with \.safetensors"):
        export_lora(tmp_path / "adapter", tmp_path / "o.pt", form="kohya")
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(StoreError, match="holds no LoRA"):
        read_adapter(other)
    path = other / "pytorch_lora_weights.safetensors"
    save_file({"unet.a.lokr_w1": torch.ones(1)}, path)
    with pytest.raises(StoreError, match=r"neither LoRA nor DoRA but 'unet\.a\.lokr_w1'"):
        read_adapter(other)
    save_file({"unet.a.lora_A.weight": torch.ones(1, 1)}, path)
    with pytest.raises(StoreError, match="only one half of a"):
        read_adapter(other)
    big = {
        "transformer.a.to_q.lora_A.weight": torch.ones(1, 1),
        "transformer.a.to_q.lora_B.weight": torch.ones(1, 1) * 1e5,
    }
    save_file(big, path)
    with pytest.raises(
        InputError, match=r"a\.to_q\.lora_B\.weight has values that float16 cannot hold; export in bfloat16"
    ):
        export_lora(other, tmp_path / "o.safetensors", form="diffusers", dtype="float16", model=str(models("sana")))
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
        with safe_open(str(file), framework="pt") as opened:
            notes = opened.metadata()
        assert (notes["ss_learning_rate"], notes["ss_steps"]) == ("0.03", "3")
        assert notes["modelspec.description"] == "Aligned by asap with the method asap."
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
