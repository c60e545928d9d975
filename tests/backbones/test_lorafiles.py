"""Exports at the sizes of published models, read with the names that other programs derive from their own layers.

Every name of a file must be known to the program and have the size of its layer; every trained layer must be there; and
the change of every layer must equal that of the adapter. The tables in ``clients`` have the programs' names.
"""

import importlib
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from asap.backbones.families import families
from asap.backbones.family import Family
from asap.backbones.lorafiles import FORMS, Lora, exported, sgm_name
from asap.core.errors import InputError
from tests.backbones.clients import Place, changes, comfyui_names, comfyui_places, products, trainer_shapes
from tests.backbones.realsize import REAL, denoiser

pytestmark = pytest.mark.usefixtures("one_thread")
FAMILIES = {family.name: family for family in families()}
TRAINERS = {"flux2": "musubi", "flux2_klein_4b": "musubi", "flux2_klein_9b": "musubi", "qwen_image": "musubi"}
TRAINERS |= {
    "zimage": "musubi",
    **dict.fromkeys(("sd15", "sdxl", "sd3", "sd35_medium", "sd35_large", "flux"), "sd_scripts"),
}
"""Whose names the form kohya has."""
PROBES = 2


class Meta:
    """A denoiser on meta, as ``exported`` asks for it; its weights are not there."""

    def __init__(self, name: str) -> None:
        self.model: Any = denoiser(name)
        settings: Any = denoiser(name).config
        self.config: Mapping[str, Any] = settings
        self.component = "unet" if REAL[name][1].startswith("UNet") else "transformer"

    def rows(self, layer: str) -> int:
        return int(self.model.get_submodule(layer).weight.shape[0])

    def weight(self, layer: str) -> Tensor:
        raise AssertionError(f"the weight of {layer} is not needed")


def targets(name: str) -> tuple[str, ...]:
    """What is trained by default."""
    family = REAL[name][0]
    module = importlib.import_module(f"asap.backbones.{family}.backbone")
    if family == "flux2":
        blocks = range(Meta(name).config["num_single_layers"])
        return (*module.EVERYWHERE, *(f"single_transformer_blocks.{block}.attn.to_out" for block in blocks))
    backbone = next(v for k, v in vars(module).items() if k.endswith("Backbone") and v.__module__ == module.__name__)
    return tuple(backbone.lora_targets)


def adapter(name: str, *, every: bool = False) -> dict[str, Lora]:
    """Random adapters of ranks 1 to 3 of the default layers, or of ``every`` layer with a name elsewhere."""
    ends, source, layers = targets(name), torch.Generator().manual_seed(0), dict[str, Lora]()
    places = comfyui_places(REAL[name][0], 1) if every else {}
    for layer, module in Meta(name).model.named_modules():
        if not isinstance(module, nn.Linear | nn.Conv2d):
            continue
        if layer in places or any(f".{layer}".endswith(f".{end}") for end in ends):
            shape, rank = module.weight.shape, 1 + len(layers) % 3
            down = torch.randn(rank, *shape[1:], generator=source)
            up = torch.randn(shape[0], rank, *shape[2:] and (1, 1), generator=source)
            layers[layer] = Lora(down=down, up=up, scale=0.5 + len(layers) % 2)
    return layers


def expected(layers: Mapping[str, Lora], places: Mapping[str, Place], probe: Tensor) -> dict[str, dict[str, Tensor]]:
    """The change of each trained layer by ComfyUI's layer and rows."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, lora in layers.items():
        down, up = lora.down.flatten(1).double(), lora.up.flatten(1).double()
        found.setdefault(places[name].layer, {})[str(places[name].rows)] = lora.scale * (
            up @ (down @ probe[: down.shape[1]])
        )
    return found


def sizes(names: Any, places: Mapping[str, Place], beneath: Meta) -> dict[str, int]:
    """Rows of ComfyUI's layers, as the stack of diffusers'."""
    rows: dict[str, int] = {}
    for name, place in places.items():
        if place.layer in names and has(beneath.model, name):
            rows[place.layer] = rows.get(place.layer, 0) + beneath.rows(name)
    return rows


def has(model: nn.Module, layer: str) -> bool:
    try:
        return isinstance(model.get_submodule(layer), nn.Linear | nn.Conv2d)
    except AttributeError:
        return False


def check(found: Mapping[str, Tensor], wanted: Mapping[str, Mapping[str, Tensor]], places: Mapping[str, Place]) -> None:
    rows = {str(place.rows): place.rows for place in places.values()}
    assert found.keys() == wanted.keys()
    for layer, parts in wanted.items():
        left = found[layer].clone()
        for cut, change in parts.items():
            torch.testing.assert_close(
                found[layer][rows[cut]], change, rtol=1e-6, atol=1e-6 * float(change.abs().max())
            )
            left[rows[cut]] = 0
        assert not left.any(), f"{layer} changes rows that were not trained"


def setup(name: str, *, every: bool) -> tuple[Meta, dict[str, Lora], dict[str, Place]]:
    beneath, layers = Meta(name), adapter(name, every=every)
    width = next((beneath.rows(layer) for layer in layers if layer.endswith(("to_q", "to_out"))), 0)
    return beneath, layers, comfyui_places(REAL[name][0], width)


CASES = [(name, True) for name in REAL if name != "sana"]
CASES += [(name, False) for name, _ in CASES if FAMILIES[REAL[name][0]].original]
"""Name, and whether every layer has an adapter; with the default layers, joined layers have one in part."""
IDS = [f"{name}-{'every' if every else 'default'}" for name, every in CASES]


@pytest.mark.parametrize(("name", "every"), CASES, ids=IDS)
@pytest.mark.parametrize("form", ["comfyui", "kohya"])
def test_comfyui_reads_every_change(name: str, form: str, every: bool) -> None:
    """Kohya's names too, except where musubi-tuner's are not those of ComfyUI's layers (Z-Image)."""
    beneath, layers, places = setup(name, every=every)
    file = exported(layers, FAMILIES[REAL[name][0]], form, beneath.component, beneath)
    names = comfyui_names(places, beneath.component)
    if (name, form) == ("zimage", "kohya"):
        assert not all(key.rpartition(".lora_")[0] in names for key in file if ".lora_" in key)
        return
    probe = torch.randn(40_000, PROBES, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    wanted = expected(layers, places, probe)
    check(products(changes(file, names), sizes(wanted, places, beneath), probe), wanted, places)


@pytest.mark.parametrize(("name", "every"), CASES, ids=IDS)
def test_kohyas_trainers_know_every_name(name: str, every: bool) -> None:
    """No key is missing or unexpected in sd-scripts or musubi-tuner, and each has the size of their layer."""
    beneath, layers, _ = setup(name, every=every)
    shapes = trainer_shapes(TRAINERS[name], name)
    layers = {layer: lora for layer, lora in layers.items() if not every or trained_there(name, layer)}
    file = exported(layers, FAMILIES[REAL[name][0]], "kohya", beneath.component, beneath)
    found = changes(file, {key: Place(key, slice(None)) for key in shapes})
    for change in found:
        out, *inner = shapes[change.place.layer]
        assert (len(change.up), list(change.down.shape[1:])) == (out, inner), change.place.layer
    assert len(file) == 3 * len(found)


def trained_there(name: str, layer: str) -> bool:
    """Whether the trainer puts a LoRA on the layer at all; the first and last layers of a model it leaves alone."""
    return "blocks" in layer or "layers" in layer or "refiner" in layer or "mid_block" in layer


def test_sdxl_has_the_names_of_its_own_code() -> None:
    beneath, layers, places = setup("sdxl", every=True)
    assert len(layers) == 794
    assert {name: sgm_name(name, beneath.config) for name in layers} == {name: places[name].layer for name in layers}


def test_a_stacked_map_has_no_larger_rank_than_its_parts() -> None:
    """FLUX.1's linear1: query, key and value are trained, the map to the hidden layer is not."""
    beneath, layers, _ = setup("flux", every=False)
    file = exported(layers, FAMILIES["flux"], "kohya", "transformer", beneath)
    ranks = sum(layers[f"single_transformer_blocks.0.attn.to_{part}"].rank for part in "qkv")
    assert file["lora_unet_single_blocks_0_linear1.lora_down.weight"].shape == (ranks, 3072)
    assert file["lora_unet_single_blocks_0_linear1.lora_up.weight"].shape == (3 * 3072 + 12288, ranks)


def test_what_comfyui_reads_of_flux_is_no_larger_than_the_adapter() -> None:
    beneath, layers, _ = setup("flux", every=False)
    file = exported(layers, FAMILIES["flux"], "comfyui", "transformer", beneath)
    assert sum(value.numel() for value in file.values()) == sum(v.down.numel() + v.up.numel() for v in layers.values())


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_what_no_program_reads_is_refused_and_says_what_works(family: Family) -> None:
    layers = {"nothing.to_q": Lora(down=torch.zeros(1, 1), up=torch.zeros(1, 1), scale=1.0)}
    known = ["diffusers", "peft", *family.lora_forms]
    for form in set(FORMS) - set(known):
        with pytest.raises(InputError, match=f"can be written as {', '.join(known)}, not as {form}; choose one of"):
            exported(layers, family, form, "transformer", Meta("sana"))


def test_every_family_that_others_read_has_a_table_of_their_names() -> None:
    """``mini`` is read by diffusers only, under the names of SD 1.5."""
    assert {family.name for family in families() if family.lora_forms} == {REAL[name][0] for name, _ in CASES} | {
        "mini"
    }
    assert {name for name, _ in CASES} == TRAINERS.keys()


def test_a_layer_without_another_name_is_refused() -> None:
    layers = {"proj_out": Lora(down=torch.zeros(1, 1), up=torch.zeros(1, 1), scale=1.0)}
    with pytest.raises(InputError, match="flux has no other name for the layer proj_out; use the form diffusers"):
        exported(layers, FAMILIES["flux"], "kohya", "transformer", Meta("flux"))
