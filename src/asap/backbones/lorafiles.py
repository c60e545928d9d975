"""LoRA weights under the names of other programs: kohya's scripts and ComfyUI.

Where the original code has one linear map for several of diffusers' (query, key and value in one), their halves are
joined: the downs are stacked, the ups form a block diagonal. The weight change is the same, at a multiple of the rank.
The names come from ``Family.original``; the README.md of each family has the facts and their sources.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from re import sub
from typing import Final

import torch
from torch import Tensor

from asap.backbones.family import Family
from asap.core.errors import InputError

__all__ = ["FORMS", "Lora", "renamed"]

FORMS: Final = ("diffusers", "kohya", "comfyui")


@dataclass(frozen=True, kw_only=True)
class Lora:
    """The adapter of one layer: the weight changes by scale * up @ down."""

    down: Tensor
    """(r, in), or (r, in, k, k) of a convolution."""
    up: Tensor
    """(out, r), or (out, r, 1, 1)."""
    scale: float

    @property
    def rank(self) -> int:
        """Number of rows of ``down``."""
        return int(self.down.shape[0])


def renamed(
    layers: Mapping[str, Lora], family: Family, form: str, rows: Callable[[str], int] | None = None
) -> dict[str, Tensor]:
    """Tensors of a file in ``form``.

    Args:
        layers: adapter of each layer by diffusers' name.
        family: of the model.
        form: kohya or comfyui.
        rows: gives the output size of a layer without adapter, needed if only some of the joined maps have one.

    Raises:
        InputError: no program reads that form for the family, or the form has no name for a layer.
    """
    if form not in family.lora_forms:
        known = ", ".join(("diffusers", *family.lora_forms))
        raise InputError(f"LoRA files of {family.name} can be written as {known}, not as {form}; choose one of these")
    joined = _joined(layers, family, rows) if family.original else dict(layers)
    file: dict[str, Tensor] = {}
    for name, lora in joined.items():
        if form == "kohya" or not family.lora_dots:
            file |= _halves(f"lora_unet_{name.replace('.', '_')}", lora, ("lora_down", "lora_up"))
        else:
            file |= _halves(f"diffusion_model.{name}", lora, family.comfy_ends)
    return {name: value.contiguous().clone() for name, value in sorted(file.items())}


def _halves(key: str, lora: Lora, ends: tuple[str, str]) -> dict[str, Tensor]:
    """Both halves of a layer; the scale is an alpha in kohya's names, else multiplied into the up."""
    down, up = (f"{key}.{end}.weight" for end in ends)
    if ends[0] == "lora_down":
        alpha = torch.tensor(lora.scale * lora.rank, dtype=torch.float32)
        return {down: lora.down, up: lora.up, f"{key}.alpha": alpha}
    return {down: lora.down, up: lora.up * lora.scale}


def _joined(layers: Mapping[str, Lora], family: Family, rows: Callable[[str], int] | None) -> dict[str, Lora]:
    """By original name."""
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
            found[name] = _join([one.format(block) for one in theirs], layers, rows)
    return found


def _join(names: list[str], layers: Mapping[str, Lora], rows: Callable[[str], int] | None) -> Lora:
    """One adapter for several maps with the same input; a map without an adapter gets zeros."""
    known = [layers[name] for name in names if name in layers]
    first = known[0]
    if len(names) == 1:
        return first
    downs, ups = [], []
    for name in names:
        own = layers.get(name)
        if own is None:
            if rows is None:
                raise InputError(f"{name} has no adapter and its size is not known; give the model")
            own = Lora(down=torch.zeros_like(first.down), up=first.up.new_zeros(rows(name), first.rank), scale=1.0)
        downs.append(own.down)
        ups.append(own.up * (own.scale / first.scale))
    return Lora(down=torch.cat(downs), up=torch.block_diag(*ups), scale=first.scale)  # type: ignore[no-untyped-call]
