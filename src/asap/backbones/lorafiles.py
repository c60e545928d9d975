"""LoRA weights under the names of other programs.

``diffusers`` and ``peft`` keep diffusers' names. ``comfyui`` has the names that ComfyUI maps to its own layers.
``kohya`` has the names of sd-scripts and musubi-tuner, which follow the original code of a model. Where that code has
one linear map for several of diffusers' (query, key and value in one), their adapters are joined: the downs are
stacked, the ups lie on a block diagonal. The change of the weight is the same. A map without an adapter adds zero rows
to the up and nothing to the rank. The names come from ``Family``; the README.md of each family has their sources.

DoRA (arXiv:2402.09353) scales each row of W + s B A to a length. peft and LyCORIS store that length, which LyCORIS
calls ``dora_scale``. ComfyUI multiplies by ``dora_scale`` over the length of the row of W, without the change
(``weight_decompose`` in comfy/weight_adapter/base.py), so its files need another value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from re import sub
from typing import Any, Final, Protocol

import torch
from torch import Tensor

from asap.backbones.family import Family
from asap.core.errors import InputError

__all__ = ["FORMS", "Denoiser", "Lora", "exported", "sgm_name"]

FORMS: Final = ("diffusers", "kohya", "comfyui", "peft")
OF_DIFFUSERS: Final = ("diffusers", "peft")
"""Forms that every family has."""


@dataclass(frozen=True, kw_only=True)
class Lora:
    """The adapter of one layer: W becomes W + scale * up @ down, with DoRA each row of it scaled to ``magnitude``."""

    down: Tensor
    """(r, in), or (r, in, k, k) of a convolution."""
    up: Tensor
    """(out, r), or (out, r, 1, 1)."""
    scale: float
    magnitude: Tensor | None = None
    """(out,) of DoRA, else None."""

    @property
    def rank(self) -> int:
        """Number of rows of ``down``."""
        return int(self.down.shape[0])


class Denoiser(Protocol):
    """What is asked of the model beneath an adapter, only where a form needs it."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Its configuration as diffusers has it."""
        ...

    def rows(self, layer: str) -> int:
        """Output size of a layer."""
        ...

    def weight(self, layer: str) -> Tensor:
        """Weight of a layer, (out, in) or (out, in, k, k), float32."""
        ...


def exported(
    layers: Mapping[str, Lora], family: Family, form: str, component: str, denoiser: Denoiser
) -> dict[str, Tensor]:
    """Tensors of a file in ``form``, by name.

    Args:
        layers: adapter of each layer by diffusers' name.
        family: of the model.
        form: one of ``FORMS``.
        component: the denoiser's name in its pipeline, unet or transformer.
        denoiser: of the model that the adapter was trained on.

    Raises:
        InputError: no program reads that form for the family, or the form has no name for a layer.
    """
    if form not in (*OF_DIFFUSERS, *family.lora_forms):
        known = ", ".join((*OF_DIFFUSERS, *family.lora_forms))
        raise InputError(f"LoRA files of {family.name} can be written as {known}, not as {form}; choose one of these")
    file: dict[str, Tensor] = {}
    if form in OF_DIFFUSERS:
        prefix = component if form == "diffusers" else "base_model.model"
        for name, lora in layers.items():
            file |= _halves(f"{prefix}.{name}", lora)
            if lora.magnitude is not None:
                shape = (1, -1, 1, 1) if lora.up.ndim == 4 else (-1,)
                file[f"{prefix}.{name}.lora_magnitude_vector"] = lora.magnitude.reshape(shape)
        return file
    if form == "comfyui":
        layers = {name: _for_comfyui(lora, name, denoiser) for name, lora in layers.items()}
    if form == "comfyui" and family.comfyui == "diffusers":
        named, pairs = {f"{component}.{name}": lora for name, lora in layers.items()}, _halves
    else:
        original = _original(layers, family, denoiser)
        named, pairs = {f"lora_unet_{name.replace('.', '_')}": lora for name, lora in original.items()}, _kohya_halves
    for key, lora in named.items():
        file |= pairs(key, lora)
        if lora.magnitude is not None:
            file[f"{key}.dora_scale"] = lora.magnitude.reshape(-1, *(1 for _ in lora.down.shape[1:]))
    return file


def _halves(key: str, lora: Lora) -> dict[str, Tensor]:
    """The scale is multiplied into the up."""
    return {f"{key}.lora_A.weight": lora.down, f"{key}.lora_B.weight": lora.up * lora.scale}


def _kohya_halves(key: str, lora: Lora) -> dict[str, Tensor]:
    """The scale is alpha over the rank."""
    alpha = torch.tensor(lora.scale * lora.rank, dtype=torch.float32)
    return {f"{key}.lora_down.weight": lora.down, f"{key}.lora_up.weight": lora.up, f"{key}.alpha": alpha}


def _for_comfyui(lora: Lora, name: str, denoiser: Denoiser) -> Lora:
    """With ``magnitude`` times |w| / |w + change| of each row."""
    if lora.magnitude is None:
        return lora
    weight = denoiser.weight(name).flatten(1)
    change = lora.scale * lora.up.float().flatten(1) @ lora.down.float().flatten(1)
    longer = (weight + change).norm(dim=1) / weight.norm(dim=1)
    return Lora(down=lora.down, up=lora.up, scale=lora.scale, magnitude=lora.magnitude / longer)


# --- names of the original code


def _original(layers: Mapping[str, Lora], family: Family, denoiser: Denoiser) -> Mapping[str, Lora]:
    """By the name of the original code."""
    if family.sgm:
        return {sgm_name(name, denoiser.config): lora for name, lora in layers.items()}
    if not family.original:
        return layers
    places = {one: (original, theirs) for original, theirs in family.original.items() for one in theirs}
    found: dict[str, Lora] = {}
    for layer in layers:
        block = next((part for part in layer.split(".") if part.isdigit()), "")
        general = sub(r"\.\d+\.", ".{}.", layer, count=1)
        if general not in places:
            raise InputError(f"{family.name} has no other name for the layer {layer}; use the form diffusers")
        original, theirs = places[general]
        name = original.format(block)
        if name not in found:
            found[name] = _join([one.format(block) for one in theirs], layers, denoiser)
    return found


def _join(names: list[str], layers: Mapping[str, Lora], denoiser: Denoiser) -> Lora:
    """One adapter for several maps with the same input, of the smallest rank that is exact for any adapters."""
    if len(names) == 1:
        return layers[names[0]]
    known = [layers[name] for name in names if name in layers]
    first, rank, before = known[0], sum(lora.rank for lora in known), 0
    ups, magnitudes = [], []
    for name in names:
        own = layers.get(name)
        up = first.up.new_zeros(len(own.up) if own else denoiser.rows(name), rank)
        if own is not None:
            up[:, before : before + own.rank] = own.up * (own.scale / first.scale)
            before += own.rank
        ups.append(up)
        if first.magnitude is not None:
            kept = own.magnitude if own is not None else None
            magnitudes.append(denoiser.weight(name).norm(dim=1) if kept is None else kept)
    return Lora(
        down=torch.cat([lora.down for lora in known]),
        up=torch.cat(ups),
        scale=first.scale,
        magnitude=torch.cat(magnitudes) if magnitudes else None,
    )


SGM_LAYERS: Final = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
SGM_RESNET: Final = {
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}


def sgm_name(layer: str, config: Mapping[str, Any]) -> str:
    """Name of a UNet's layer in the code of Stability-AI/generative-models, by which kohya's scripts name SDXL's.

    There the blocks of a side are numbered in one list. Input block 0 is the first convolution; then each block of
    diffusers has ``layers_per_block`` entries and one for its downsampler. On the way up it has one entry more than
    ``layers_per_block``, and its upsampler is in the last of them. The members of an entry are numbered too: a residual
    block, an attention (if any), an upsampler (if any).

    Args:
        layer: diffusers' name.
        config: of the UNet: ``layers_per_block``, ``up_block_types``.
    """
    if layer in SGM_LAYERS:
        return SGM_LAYERS[layer]
    side, *parts = layer.split(".")
    block = 0 if side == "mid_block" else int(parts.pop(0))
    kind, place, *inner = parts[0], int(parts[1]), *parts[2:]
    last = int(config["layers_per_block"])
    if side == "mid_block":
        path = ["middle_block", str(1 if kind == "attentions" else 2 * place)]
    elif side == "down_blocks":
        number = 1 + block * (last + 1) + (last if kind == "downsamplers" else place)
        path = ["input_blocks", str(number), "1" if kind == "attentions" else "0"]
    else:
        attention = "Attn" in config["up_block_types"][block]
        member = {"resnets": 0, "attentions": 1, "upsamplers": 1 + attention}[kind]
        path = ["output_blocks", str(block * (last + 1) + (last if kind == "upsamplers" else place)), str(member)]
    if kind == "resnets":
        inner = [SGM_RESNET[inner[0]]]
    elif kind == "downsamplers":
        inner = ["op"]
    return ".".join([*path, *inner])
