"""A trained adapter -> a LoRA file of another program, or a pipeline with the change within its weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from asap.backbones import MODELS, load
from asap.backbones.families import families, find
from asap.backbones.family import INDEX, Family, LoadOptions, read_settings
from asap.backbones.fingerprint import model_fingerprint
from asap.backbones.lorafiles import FORMS, Lora, renamed
from asap.core.errors import InputError, StoreError, UnknownNameError
from asap.core.files import write_bytes
from asap.core.manifest import Manifest, Parent
from asap.workflows.runtime.lineage import MANIFEST, UNKNOWN_LINEAGE, instruments_of, model_parents, trained_parent
from asap.workflows.runtime.trained import ADAPTER, apply_trained

__all__ = ["export_lora", "fuse", "read_adapter"]

COMPONENTS = ("unet", "transformer")


def export_lora(run: Path, out: Path, *, form: str, model: str | None = None) -> Path:
    """Write the adapter of a run in another form; returns ``out``.

    Args:
        run: a run, its ``best`` or one of its snapshots, or the adapter's folder.
        out: a .safetensors file.
        form: one of ``lorafiles.FORMS``.
        model: the model it was trained on; None: the one that the run's manifest names.

    Raises:
        UnknownNameError: no such form.
        InputError: no program reads that form for the family, or the file cannot be written.
        StoreError: the run holds no LoRA.
    """
    if form not in FORMS:
        raise UnknownNameError("form", form, FORMS)
    if out.suffix != ".safetensors":
        raise InputError(f"wanted a file name that ends with .safetensors, got {out}")
    layers, component = read_adapter(run)
    if form == "diffusers":
        file = {}
        for name, lora in layers.items():
            file[f"{component}.{name}.lora_A.weight"] = lora.down
            file[f"{component}.{name}.lora_B.weight"] = lora.up * lora.scale
    else:
        name = model or _model_of(run)
        file = renamed(layers, _family(name), form, _rows(name, component))
    write_bytes(out, save({key: value.contiguous() for key, value in file.items()}, metadata={"format": "pt"}))
    return out


def read_adapter(run: Path) -> tuple[dict[str, Lora], str]:
    """The adapter of each layer by diffusers' name, and the name of the denoiser in its pipeline.

    Raises:
        StoreError: there is none, or it is no plain LoRA.
    """
    folder = run / ADAPTER if (run / ADAPTER).is_dir() else run
    path = folder / "pytorch_lora_weights.safetensors"
    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}
            notes = json.loads((file.metadata() or {}).get("lora_adapter_metadata", "{}"))
    except (OSError, SafetensorError, ValueError) as error:
        raise StoreError(f"{folder} holds no LoRA: {path.name} cannot be read; train one with `asap train`") from error
    component = next(iter(tensors), "").partition(".")[0]
    downs = {key.removesuffix(".lora_A.weight"): value for key, value in tensors.items() if ".lora_A." in key}
    if component not in COMPONENTS or 2 * len(downs) != len(tensors):
        strange = next((key for key in tensors if ".lora_A." not in key and ".lora_B." not in key), component)
        raise StoreError(f"{folder} holds no plain LoRA but {strange!r}; only diffusers reads it")
    layers = {}
    for key, down in downs.items():
        name = key.removeprefix(f"{component}.")
        scale = _scale(notes, component, name, int(down.shape[0]))
        layers[name] = Lora(down=down, up=tensors[f"{key}.lora_B.weight"], scale=scale)
    return layers, component


def _scale(notes: dict[str, Any], component: str, name: str, rank: int) -> float:
    """Alpha / rank of a layer (over the root of the rank under rsLoRA); 1 where nothing is said."""
    own = {key.removeprefix(f"{component}."): value for key, value in notes.items()}
    alpha = (own.get("alpha_pattern") or {}).get(name, own.get("lora_alpha", rank))
    return float(alpha) / (rank**0.5 if own.get("use_rslora") else rank)


def _model_of(run: Path) -> str:
    """What the manifest of a run, or of the folder above an adapter, names."""
    for folder in (run, run.parent):
        if (folder / "manifest.json").is_file():
            parents = Manifest.read(folder / "manifest.json").parents
            return next(parent.path for parent in parents if parent.kind == "model")
    raise StoreError(f"{run} has no manifest that names its model; give --model")


def _family(model: str) -> Family:
    if model in MODELS:
        return next(family for family in families() if family.name == "mini")
    return find(model)[0]


def _rows(model: str, component: str) -> Callable[[str], int]:
    """Output sizes of the denoiser's layers, from its settings alone."""
    known: dict[str, int] = {}

    def rows(name: str) -> int:
        import diffusers

        if not known:
            folder = find(model)[1]
            kind = getattr(diffusers, read_settings(folder / INDEX)[component][-1])
            with torch.device("meta"):
                denoiser = kind.from_config(kind.load_config(str(folder), subfolder=component))
            known.update({key: int(value.shape[0]) for key, value in denoiser.named_parameters()})
        return known[f"{name}.weight"]

    return rows


def fuse(model: str, run: Path, out: Path, *, options: LoadOptions | None = None) -> Path:
    """Write the model as a pipeline folder that draws as with the adapter; returns ``out``.

    Args:
        model: the model that was aligned.
        run: as for ``export_lora``; a run of full weights will do as well.
        out: an empty or new folder.
        options: how the model is loaded; its number type is that of the folder.

    Raises:
        InputError: the adapter belongs to another model, or the folder is not empty or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not empty; choose a new folder")
    backbone = load(model, options)
    before = model_fingerprint(backbone)
    apply_trained(backbone, run)
    backbone.fuse_lora()
    backbone.save_pipeline(out)
    _fused_manifest(model, before, run).write(out / MANIFEST)
    return out


def _fused_manifest(model: str, fingerprint: str, run: Path) -> Manifest:
    """What the folder was made from, so that a judge that picked the pairs is known further down."""
    parent, manifests = trained_parent(run, foreign=True)
    upstream = [*manifests, *(one for _, found in model_parents(model) for one in found)]
    return Manifest(
        kind="model",
        config={"model": model, "adapter": parent.content_hash},
        parents=(parent, Parent("model", model, fingerprint)),
        instruments=instruments_of(upstream),
        notes={} if manifests else {UNKNOWN_LINEAGE: True},
    )
