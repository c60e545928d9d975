"""Which layers other programs know by the names in LoRA files, and what a file changes in them.

The JSON files hold names and sizes (facts), taken from the programs' sources; each says from where. They are compact:
in a pattern, {0-3} stands for several numbers, and {} for the same number again.
"""

import json
import re
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

HERE = Path(__file__).parent
HALVES = [(".lora_down.weight", ".lora_up.weight"), (".lora_A.weight", ".lora_B.weight")]
RESTS = (".alpha", ".dora_scale")


class Place(NamedTuple):
    """Rows of a program's own layer."""

    layer: str
    rows: slice


class Change(NamedTuple):
    """What a file says of a place: scale * up @ down, and with DoRA the length of each row."""

    place: Place
    down: Tensor
    up: Tensor
    scale: float
    dora: Tensor | None = None

    def on(self, probe: Tensor) -> Tensor:
        """The change times (in, n) random numbers, float64."""
        down, up = self.down.flatten(1).double(), self.up.flatten(1).double()
        return self.scale * (up @ (down @ probe[: down.shape[1]]))


def table(name: str) -> dict[str, Any]:
    return dict(json.loads((HERE / f"{name}.json").read_text(encoding="utf-8")))


def expand(pattern: str) -> list[tuple[str, list[str]]]:
    """All names that a pattern stands for, each with its numbers."""
    pieces = re.split(r"\{([\d,-]+)\}", pattern)
    choices = [numbers(piece) for piece in pieces[1::2]]
    return [
        ("".join(piece + number for piece, number in zip(pieces[::2], [*chosen, ""], strict=True)), list(chosen))
        for chosen in product(*choices)
    ]


def numbers(text: str) -> list[str]:
    found: list[str] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += [str(number) for number in range(int(first), int(last or first) + 1)]
    return found


def flat(name: str) -> str:
    return name.replace(".", "_")


def comfyui_places(family: str, width: int) -> dict[str, Place]:
    """ComfyUI's place of each layer by diffusers' name; ``width`` is that of the queries."""
    whole, own = table("comfyui"), dict[str, str]()
    if "attentions" not in whole[family]:
        own = {k.removeprefix("transformer."): v for k, v in whole[family].items()}
    else:
        own |= whole[family]["others"]
        for block, (theirs, depth) in whole[family]["attentions"].items():
            own |= {f"{block}.{name}": f"{theirs}.{name}" for name in whole["in attentions"]}
            for name in whole["in transformer_blocks"]:
                inner = f"transformer_blocks.{{0-{depth - 1}}}.{name}"
                own[f"{block}.{inner}"] = f"{theirs}.{inner.replace(f'{{0-{depth - 1}}}', '{}')}"
        for block, theirs in whole[family]["resnets"].items():
            own |= {f"{block}.{name}": f"{theirs}.{inner}" for name, inner in whole["in resnets"].items()}
    places = {}
    for pattern, target in own.items():
        layer, _, rows = target.partition(" ")
        cut = slice(*(width * int(end) for end in rows.split(":"))) if rows else slice(None)
        for name, chosen in expand(pattern):
            places[name] = Place(layer.format(*chosen), cut)
    return places


def comfyui_names(places: Mapping[str, Place], component: str) -> dict[str, Place]:
    """The place of each name that a file may have."""
    own = {f"lora_unet_{flat(place.layer)}": Place(place.layer, slice(None)) for place in places.values()}
    if component == "unet":
        return {**{f"lora_unet_{flat(name)}": place for name, place in places.items()}, **own}
    return {**{f"transformer.{name}": place for name, place in places.items()}, **own}


def trainer_shapes(program: str, family: str) -> dict[str, tuple[int, ...]]:
    """Shape of the weight of each layer that sd_scripts or musubi wraps, by the name in the file."""
    return {
        name: tuple(shape)
        for pattern, shape in table(program)[family].items()
        for name, _ in expand(f"lora_unet_{pattern}")
    }


def changes(file: Mapping[str, Tensor], names: Mapping[str, Place]) -> list[Change]:
    """What a file changes; a name that is unknown or a half that is missing is an error."""
    left, found = dict(file), []
    for key in file:
        for down_end, up_end in HALVES:
            if not key.endswith(down_end):
                continue
            name = key.removesuffix(down_end)
            down, up = left.pop(key), left.pop(name + up_end)
            alpha, dora = (left.pop(name + end, None) for end in RESTS)
            scale = 1.0 if alpha is None else float(alpha) / len(down)
            found.append(Change(names[name], down, up, scale, dora))
    assert not left, f"unexpected: {sorted(left)[:3]}"
    return found


def products(found: list[Change], sizes: Mapping[str, int], probe: Tensor) -> dict[str, Tensor]:
    """The change of each layer times the probe; every layer of ``sizes`` (rows) and no other must occur."""
    whole = {layer: torch.zeros(rows, probe.shape[1], dtype=torch.float64) for layer, rows in sizes.items()}
    for change in found:
        whole[change.place.layer][change.place.rows] += change.on(probe)
    assert {change.place.layer for change in found} == sizes.keys()
    return whole
