"""A trained adapter -> a LoRA file or folder of another program, or a pipeline with the change within its weights."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from asap.backbones import MODELS, load
from asap.backbones.families import families, family_of, find
from asap.backbones.family import DTYPES, INDEX, Family, LoadOptions, read_settings
from asap.backbones.fingerprint import model_fingerprint
from asap.backbones.hub import fetch_file, fetch_index
from asap.backbones.lorafiles import FORMS, Lora, exported
from asap.core.errors import InputError, StoreError, UnknownNameError
from asap.core.files import write_pieces
from asap.core.manifest import Manifest, Parent
from asap.workflows.runtime.lineage import MANIFEST, UNKNOWN_LINEAGE, instruments_of, model_parents, trained_parent
from asap.workflows.runtime.trained import ADAPTER, apply_trained, whole_folder
from asap.workflows.training.export_metadata import file_metadata

__all__ = ["export_lora", "fuse", "read_adapter"]

COMPONENTS: Final = ("unet", "transformer")
WEIGHTS: Final = "pytorch_lora_weights.safetensors"
SUFFIXES: Final = (".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector")
EXACT: Final = (".alpha", ".dora_scale", ".lora_magnitude_vector")
"""Tensors that stay float32 in a file of another dtype: they are small, and a magnitude scales a whole row."""


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """A trained adapter as its file has it."""

    path: Path
    layers: Mapping[str, Lora]
    """By diffusers' name of the layer."""
    component: str
    """The denoiser's name in its pipeline."""
    targets: tuple[str, ...]
    """Ends of names, or whole names, that select the layers."""


def export_lora(run: Path, out: Path, *, form: str, model: str | None = None, dtype: str = "float32") -> Path:
    """Write the adapter of a run in another form; returns ``out``.

    Args:
        run: a run, its ``best`` or one of its snapshots, or the adapter's folder.
        out: a .safetensors file; for the form peft a new or empty folder.
        form: one of ``lorafiles.FORMS``.
        model: the model it was trained on; None: the one that the run's manifest names.
        dtype: of the file: float32, bfloat16 or float16.

    Raises:
        UnknownNameError: no such form or dtype.
        InputError: no program reads that form for the family, a weight is too large for the dtype, or the file cannot
            be written.
        StoreError: the run holds no LoRA.
    """
    if form not in FORMS:
        raise UnknownNameError("form", form, FORMS)
    if dtype not in DTYPES:
        raise UnknownNameError("dtype", dtype, DTYPES)
    if form != "peft" and out.suffix != ".safetensors":
        raise InputError(f"wanted a file name that ends with .safetensors, got {out}")
    if form == "peft" and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not empty; the form peft is a folder, choose a new one")
    adapter = read_adapter(run)
    name = model or _model_of(run)
    denoiser = Beneath(name, adapter.component)
    tensors = exported(adapter.layers, denoiser.family, form, adapter.component, denoiser)
    file = {key: _in_dtype(key, value, dtype) for key, value in tensors.items()}
    if form == "peft":
        return whole_folder(out, lambda folder: _write_peft(folder, file, adapter, name))
    data = memoryview(save(file))
    start = 8 + int.from_bytes(data[:8], "little")
    digest = hashlib.sha256(data[start:]).hexdigest()
    notes = file_metadata(digest, adapter.path, denoiser.family, denoiser.config, adapter.layers, name)
    header = json.dumps({"__metadata__": notes, **json.loads(bytes(data[8:start]))}).encode()
    header += b" " * (-len(header) % 8)
    write_pieces(out, [len(header).to_bytes(8, "little"), header, data[start:]])
    return out


def _in_dtype(key: str, value: Tensor, dtype: str) -> Tensor:
    kept = value.float() if key.endswith(EXACT) else value.to(getattr(torch, dtype))
    if not bool(kept.isfinite().all()):
        raise InputError(f"{key} has values that {dtype} cannot hold; export in bfloat16 or float32")
    return kept.contiguous().clone()


def _write_peft(folder: Path, file: dict[str, Tensor], adapter: Adapter, model: str) -> None:
    """Configuration and weights for ``PeftModel.from_pretrained``; scales lie in the weights, so alpha is the rank."""
    from peft import LoraConfig

    ranks = {name: lora.rank for name, lora in adapter.layers.items()}
    rank = max(ranks.values())
    others = {name: own for name, own in ranks.items() if own != rank}
    config = LoraConfig(
        r=rank,
        lora_alpha=rank,
        target_modules=list(adapter.targets),
        rank_pattern=others,
        alpha_pattern=dict(others),
        use_dora=any(lora.magnitude is not None for lora in adapter.layers.values()),
        base_model_name_or_path=model,
        inference_mode=True,
    )
    folder.mkdir(parents=True)
    config.save_pretrained(str(folder))
    (folder / "adapter_model.safetensors").write_bytes(save(file, metadata={"format": "pt"}))


def read_adapter(run: Path) -> Adapter:
    """The adapter of a run, of one of its snapshots, or of an adapter's folder.

    Raises:
        StoreError: there is none, or it is neither LoRA nor DoRA.
    """
    folder = run / ADAPTER if (run / ADAPTER).is_dir() else run
    path = folder / WEIGHTS
    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}
            notes = json.loads((file.metadata() or {}).get("lora_adapter_metadata", "{}"))
    except (OSError, SafetensorError, ValueError) as error:
        raise StoreError(f"{folder} holds no LoRA: {path.name} cannot be read; train one with `asap train`") from error
    component = next(iter(tensors), "").partition(".")[0]
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        suffix = next((end for end in SUFFIXES if key.endswith(end)), None)
        if component not in COMPONENTS or suffix is None:
            raise StoreError(f"{folder} holds neither LoRA nor DoRA but {key!r}; only diffusers reads it")
        parts.setdefault(key.removesuffix(suffix).removeprefix(f"{component}."), {})[suffix] = value
    own = {key.removeprefix(f"{component}."): value for key, value in notes.items()}
    layers = {name: _lora(name, halves, own) for name, halves in parts.items()}
    ends = tuple(own.get("target_modules") or ())
    covered = all(any(f".{name}".endswith(f".{end}") for end in ends) for name in layers)
    return Adapter(path=path, layers=layers, component=component, targets=tuple(sorted(ends if covered else layers)))


def _lora(name: str, halves: Mapping[str, Tensor], notes: Mapping[str, Any]) -> Lora:
    """The adapter of one layer; the scale is alpha / rank (over the root of the rank under rsLoRA), 1 if not noted."""
    if not {*SUFFIXES[:2]} <= halves.keys():
        raise StoreError(f"the adapter has only one half of {name}; copy or train it again")
    down, up = (halves[suffix] for suffix in SUFFIXES[:2])
    rank = int(down.shape[0])
    alpha = (notes.get("alpha_pattern") or {}).get(name, notes.get("lora_alpha", rank))
    scale = float(alpha) / (rank**0.5 if notes.get("use_rslora") else rank)
    magnitude = halves.get(SUFFIXES[2])
    return Lora(down=down, up=up, scale=scale, magnitude=None if magnitude is None else magnitude.float().flatten())


def _model_of(run: Path) -> str:
    """What the manifest of a run, or of the folder above an adapter, names."""
    for folder in (run, run.parent):
        if (folder / MANIFEST).is_file():
            parents = Manifest.read(folder / MANIFEST).parents
            return next(parent.path for parent in parents if parent.kind == "model")
    raise StoreError(f"{run} has no manifest that names its model; give --model")


class Beneath:
    """The denoiser that an adapter belongs to; see ``lorafiles.Denoiser``.

    Family and configuration are all that most forms need, so no weights are downloaded for them.
    """

    def __init__(self, model: str, component: str) -> None:
        """Nothing is read here."""
        self.model, self.component = model, component

    @cached_property
    def family(self) -> Family:
        """Raises ``InputError`` if no family has the model."""
        if self.model in MODELS:
            return next(family for family in families() if family.name == "mini")
        return family_of(read_settings(fetch_index(self.model, LoadOptions()) / INDEX), self.model)

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """As diffusers has it."""
        if self.model in MODELS:
            return cast("Mapping[str, Any]", self._embedded.config)
        return read_settings(fetch_file(self.model, f"{self.component}/config.json", LoadOptions()))

    def rows(self, layer: str) -> int:
        """Output size of a layer; raises ``InputError`` if the model has no such layer."""
        return int(self._known(layer, self._shapes)[0])

    def weight(self, layer: str) -> Tensor:
        """Weight of a layer in float32; raises ``StoreError`` if the model's folder does not hold it."""
        key = f"{layer}.weight"
        if self.model in MODELS:
            return cast("Tensor", self._embedded.get_parameter(key)).detach().float()
        with safe_open(str(self._known(layer, self._places)), framework="pt") as file:
            return cast("Tensor", file.get_tensor(key)).float()

    def _known(self, layer: str, table: Mapping[str, Any]) -> Any:  # noqa: ANN401
        if f"{layer}.weight" not in table:
            raise InputError(f"{self.model} has no layer {layer}; give the model that the adapter was trained on")
        return table[f"{layer}.weight"]

    @cached_property
    def _embedded(self) -> Any:  # noqa: ANN401
        return load(self.model).denoiser

    @cached_property
    def _shapes(self) -> Mapping[str, torch.Size]:
        """Of all parameters, from the configuration alone."""
        if self.model in MODELS:
            denoiser = self._embedded
        else:
            import diffusers

            with torch.device("meta"):
                denoiser = getattr(diffusers, self.config["_class_name"]).from_config(dict(self.config))
        return {name: value.shape for name, value in denoiser.named_parameters()}

    @cached_property
    def _places(self) -> Mapping[str, Path]:
        """The file of each weight; one without a variant in its name comes before fp16 and the like."""
        folder = find(self.model)[1] / self.component
        places: dict[str, Path] = {}
        for path in sorted(folder.glob("*.safetensors"), key=lambda path: (path.name.count("."), path.name)):
            with safe_open(str(path), framework="pt") as file:
                places = {**dict.fromkeys(file.keys(), path), **places}
        if not places:
            raise StoreError(f"{folder} holds no .safetensors weights, which DoRA needs; save the pipeline again")
        return places


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
