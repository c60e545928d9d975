"""Lean LoRA layers give what peft's give, and keep less for the backward."""

from typing import Any

import pytest
import torch
from torch import Tensor

from asap.align.adapters import AdapterSettings, adapt
from asap.align.lean import make_lean
from tests.align.fakes import Alignment, MemoryPairs, TinyBackbone, alignment
from tests.align.runs import EQUAL, STEPS, difference, taken


def prediction(backbone: TinyBackbone) -> tuple[Tensor, list[Tensor]]:
    """What the denoiser predicts, and the gradient of its square, with adapters that are not zero."""
    source = torch.Generator().manual_seed(5)
    weights = [value for value in backbone.denoiser.parameters() if value.requires_grad]
    with torch.no_grad():
        for value in weights:
            value.copy_(torch.randn(value.shape, generator=source) * 0.3)
    batch = MemoryPairs(2).batch([0, 1])
    found = backbone.denoise(batch.chosen, torch.tensor([0.2, 0.8]), batch.condition)
    return found.detach(), list(torch.autograd.grad(found.square().mean(), weights))


def restore(modules: Any) -> int:  # noqa: ANN401
    """Give every layer peft's own forward again; returns how many were lean."""
    changed = [module for module in modules if "forward" in vars(module)]
    for module in changed:
        del module.forward
    return len(changed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_predictions_and_gradients_are_pefts(dtype: torch.dtype) -> None:
    ours, usual = TinyBackbone(), TinyBackbone()
    settings = AdapterSettings(rank=2, alpha=3.0)
    adapt(ours, settings, seed=1)
    adapt(usual, settings, seed=1)
    assert restore(usual.denoiser.modules()) == 32
    half = dtype is torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        (found, gradients), (expected, usual_gradients) = prediction(ours), prediction(usual)
    tolerance = 0.05 if half else 1e-5
    assert float((found - expected).abs().max()) <= tolerance * float(expected.abs().max())
    largest = max(float(value.abs().max()) for value in usual_gradients)
    for one, other in zip(gradients, usual_gradients, strict=True):
        assert float((one - other).abs().max()) <= tolerance * largest


def test_twenty_steps_change_no_weight() -> None:
    """Against peft's layers, within 1e-6."""
    settings: dict[str, Any] = {
        "lora": True,
        "steps": STEPS,
        "batch_size": 2,
        "lr": 1e-4,
        "loss": {"target_margin": 0.5},
    }
    usual: Alignment = alignment("asap", **settings)
    assert restore(usual.task.policy.modules()) == 32
    list(usual.steps())
    assert difference(usual, taken(loss={"target_margin": 0.5})) <= EQUAL


def test_less_is_kept_in_bfloat16_without_autocast() -> None:
    """Of one LoRA layer on 64 rows: x and A(x) in bfloat16, where peft keeps x in float32 beside it."""
    from peft import LoraConfig, inject_adapter_in_model

    kept = []
    for change in (True, False):
        layers = torch.nn.ModuleDict({"to_q": torch.nn.Linear(32, 32)}).to(torch.bfloat16).requires_grad_(False)
        inject_adapter_in_model(LoraConfig(r=2, target_modules=["to_q"]), layers)
        for name, value in layers.named_parameters():
            if "lora_" in name:
                value.data = value.data.float()
        assert not change or make_lean(layers) == 1
        known, sizes = {value.untyped_storage().data_ptr() for value in layers.parameters()}, dict[int, int]()

        def keep(value: Tensor, known: set[int] = known, sizes: dict[int, int] = sizes) -> Tensor:
            storage = value.untyped_storage()
            if storage.data_ptr() not in known:
                sizes[storage.data_ptr()] = storage.nbytes()
            return value

        x = torch.ones(64, 32, dtype=torch.bfloat16, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            output = layers["to_q"](x)
        output.sum().backward()
        kept.append(sum(sizes.values()))
    assert kept[0] < 0.7 * kept[1]


@pytest.mark.parametrize("kind", ["dora", "lokr"])
def test_other_adapters_keep_pefts_forward_and_train(kind: str) -> None:
    backbone = TinyBackbone()
    policy = adapt(backbone, AdapterSettings(kind=kind, rank=2), seed=3)  # type: ignore[arg-type]
    assert make_lean(backbone.denoiser) == 0
    run = alignment("asap", policy=policy, lr=1e-3, loss={"target_margin": 0.5})
    rows = list(run.steps(until=3))
    assert rows[0]["delta"] == pytest.approx(0, abs=1e-6)
    assert rows[2]["delta"] != 0
    assert all(kind[:3] in name or "lora" in name for name in run.task.weights)
