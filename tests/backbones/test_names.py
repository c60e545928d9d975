"""LoRA files of families whose original code, as ComfyUI and musubi-tuner see it, has diffusers' own names."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from asap.backbones.families import families

pytestmark = pytest.mark.usefixtures("one_thread")
FAMILIES = ["qwen_image", "zimage"]
RANK, ALPHA = 2, 3.0


@pytest.fixture(scope="module", params=FAMILIES)
def module(request: pytest.FixtureRequest) -> Any:
    return importlib.import_module(f"tests.backbones.tiny.{request.param}")


@pytest.fixture(params=["kohya", "comfy"])
def style(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def layers_of(model: nn.Module, targets: set[str]) -> dict[str, nn.Linear]:
    found = {}
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear) and any(name.endswith(f".{target}") for target in targets):
            found[name] = layer
    return found


def entries(style: str, name: str, down: Tensor, up: Tensor) -> dict[str, Tensor]:
    if style == "kohya":
        key = f"lora_unet_{name.replace('.', '_')}"
        return {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.alpha": torch.tensor(ALPHA)}
    key = f"diffusion_model.{name}"
    return {f"{key}.lora_A.weight": down, f"{key}.lora_B.weight": up * (ALPHA / RANK)}


def test_diffusers_reads_each_form_as_the_same_change(module: Any, style: str, tmp_path: Path) -> None:
    module.build(tmp_path)
    pipeline = DiffusionPipeline.from_pretrained(str(tmp_path))
    file, wanted, source = dict[str, Tensor](), dict[str, Tensor](), torch.Generator().manual_seed(0)
    for name, layer in layers_of(pipeline.transformer, module.COMMUNITY).items():
        down = torch.randn(RANK, layer.in_features, generator=source)
        up = torch.randn(layer.out_features, RANK, generator=source)
        file |= entries(style, name, down, up)
        wanted[name] = up @ down * (ALPHA / RANK)
    pipeline.load_lora_weights(file)
    assert len(wanted) >= 8
    for name, change in wanted.items():
        adapted: Any = pipeline.transformer.get_submodule(name)
        adapter = adapted.active_adapters[0]
        found = adapted.lora_B[adapter].weight @ adapted.lora_A[adapter].weight * adapted.scaling[adapter]
        torch.testing.assert_close(found, change, atol=1e-5, rtol=1e-5)


def test_these_families_need_no_table_of_names() -> None:
    assert not any(family.original for family in families() if family.name in FAMILIES)
