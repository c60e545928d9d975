"""Names of the original code: held against diffusers' converters of whole checkpoints and its readers of LoRA files."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from diffusers.loaders import single_file_utils as convert
from torch import Tensor, nn

from asap.backbones.families import families
from tests.backbones.tiny import flux, flux2, sd3

pytestmark = pytest.mark.usefixtures("one_thread")
FAMILIES = {family.name: family for family in families()}
CONVERTERS: dict[str, Callable[..., dict[str, Tensor]]] = {
    "sd3": convert.convert_sd3_transformer_checkpoint_to_diffusers,
    "flux": convert.convert_flux_transformer_checkpoint_to_diffusers,
    "flux2": convert.convert_flux2_transformer_checkpoint_to_diffusers,
}
TINY = {"sd3": sd3, "flux": flux, "flux2": flux2}
ROWS = {"single_blocks.{}.linear1": 3 * 3072 + 12288}
"""FLUX.1's converter knows its widths by heart; elsewhere a number that is no likely default will do."""
RANK, ALPHA = 2, 3.0


class Checkpoint(dict[str, Tensor]):
    """Whatever else a converter asks for is there, and of no interest."""

    def __missing__(self, key: str) -> Tensor:
        return torch.zeros(12, 1)

    def pop(self, key: str, *_: Any) -> Tensor:
        value = self[key]
        if key in self:
            del self[key]
        return value


def test_families_with_a_table_are_tested() -> None:
    assert {name for name, family in FAMILIES.items() if family.original} >= set(TINY)


@pytest.mark.parametrize("name", TINY)
def test_diffusers_splits_an_original_checkpoint_into_the_same_rows(name: str) -> None:
    table, whole = FAMILIES[name].original, Checkpoint()
    for place, original in enumerate(table):
        for block in range(2):
            for kind in ("weight", "bias"):
                values = torch.arange(float(ROWS.get(original, 30))) + 100_000 * (place + 1)
                whole[f"{original.format(block)}.{kind}"] = values[:, None] if kind == "weight" else values
    wanted = {key: value.clone() for key, value in whole.items()}
    found = CONVERTERS[name](whole)
    for original, theirs in table.items():
        parts = [found[f"{one.format(0)}.weight"] for one in theirs]
        assert torch.equal(torch.cat(parts), wanted[f"{original.format(0)}.weight"]), original


@pytest.mark.parametrize("name", TINY)
def test_every_layer_that_lora_trains_has_an_original_name(name: str) -> None:
    model = TINY[name].pipeline().transformer
    layers = {layer for layer, module in model.named_modules() if isinstance(module, nn.Linear)}
    table = FAMILIES[name].original
    known = {one.format(block) for theirs in table.values() for one in theirs for block in range(2)}
    trained = {layer for layer in layers for target in TINY[name].COMMUNITY if f".{layer}".endswith(f".{target}")}
    assert trained
    assert trained <= known


@pytest.mark.parametrize(("name", "style"), [("flux", "kohya"), ("flux2", "kohya"), ("flux2", "comfy")])
def test_diffusers_reads_a_file_of_original_names_as_the_same_change(name: str, style: str) -> None:
    """As the READMEs say: downs stacked, ups block-diagonal, alpha times the number of maps."""
    pipeline = TINY[name].pipeline()
    model, table = pipeline.transformer, FAMILIES[name].original
    file, wanted = dict[str, Tensor](), dict[str, Tensor]()
    for original, theirs in table.items():
        if name == "flux" and original.endswith("linear1"):
            continue  # its reader knows the widths of FLUX.1 by heart
        for block in range(2):
            if not all(has(model, one.format(block)) for one in theirs):
                continue
            layers = {one.format(block): model.get_submodule(one.format(block)) for one in theirs}
            file |= fused(style, original.format(block), layers, wanted)
    pipeline.load_lora_weights(file)
    for layer, change in wanted.items():
        module = model.get_submodule(layer)
        adapter = module.active_adapters[0]
        found = module.lora_B[adapter].weight @ module.lora_A[adapter].weight * module.scaling[adapter]
        torch.testing.assert_close(found, change, atol=1e-5, rtol=1e-5)


def has(model: nn.Module, layer: str) -> bool:
    return layer in dict(model.named_modules())


def fused(style: str, original: str, layers: Mapping[str, nn.Module], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """A random adapter of some layers under one original name; what it changes goes into ``wanted``."""
    downs, ups = [], []
    for layer, module in layers.items():
        source = torch.Generator().manual_seed(len(wanted))
        assert isinstance(module, nn.Linear)
        down = torch.randn(RANK, module.in_features, generator=source)
        up = torch.randn(module.out_features, RANK, generator=source)
        wanted[layer] = up @ down * (ALPHA / RANK)
        downs.append(down)
        ups.append(up)
    down, up = torch.cat(downs), torch.block_diag(*ups)  # type: ignore[no-untyped-call]
    if style == "comfy":
        key = f"diffusion_model.{original}"
        return {f"{key}.lora_A.weight": down, f"{key}.lora_B.weight": up * (ALPHA / RANK)}
    key = f"lora_unet_{original.replace('.', '_')}"
    alpha = torch.tensor(ALPHA * len(downs))
    return {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.alpha": alpha}
