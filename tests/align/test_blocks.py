"""The fused block gives what diffusers' own block gives, forward and backward, and steps aside where it cannot."""

import copy
from typing import Any

import pytest
import torch
from diffusers.models.attention import BasicTransformerBlock
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from asap.align.blocks import fuse_blocks
from asap.align.lean import make_lean

DIM, TEXT, HEADS = 16, 24, 2
TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]


def model(targets: list[str] = TARGETS, *, rank: int = 3, **settings: Any) -> nn.Module:  # noqa: ANN401
    """Two blocks with an adapter whose two sides are random, frozen otherwise."""
    torch.manual_seed(0)
    how = {"dim": DIM, "num_attention_heads": HEADS, "attention_head_dim": DIM // HEADS, "cross_attention_dim": TEXT}
    blocks: nn.Module = nn.ModuleList([BasicTransformerBlock(**{**how, **settings}) for _ in range(2)])
    blocks.requires_grad_(False).eval()
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=5, target_modules=targets), blocks)
    for name, value in blocks.named_parameters():
        if "lora_" in name:
            nn.init.normal_(value, std=0.3)
    return blocks


def inputs(batch: int = 2) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(1)
    return torch.randn(batch, 70, DIM, generator=source), torch.randn(batch, 5, TEXT, generator=source)


def run(blocks: nn.Module, x: Tensor, text: Tensor) -> Tensor:
    for block in blocks:  # type: ignore[attr-defined]
        x = block(x, encoder_hidden_states=text)
    return x


def both(**settings: Any) -> tuple[nn.Module, nn.Module]:  # noqa: ANN401
    """The same blocks as diffusers and peft run them, and fused."""
    plain = model(**settings)
    fused = copy.deepcopy(plain)
    make_lean(fused)
    assert fuse_blocks(fused) == 2
    return plain, fused


def adapters(blocks: nn.Module) -> list[Tensor]:
    return [value for value in blocks.parameters() if value.requires_grad]


def is_fused(found: Tensor) -> bool:
    return "Fused" in type(found.grad_fn).__name__


@pytest.mark.parametrize("batch", [1, 2])
def test_values_and_every_gradient_are_those_of_the_block_itself(batch: int) -> None:
    plain, fused = both()
    x, text = inputs(batch)
    weight = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    results = []
    for blocks in (plain, fused):
        leaf = x.clone().requires_grad_()
        found = run(blocks, leaf, text)
        results.append((found, torch.autograd.grad((found * weight).sum(), [leaf, *adapters(blocks)])))
    (value, gradients), (other, others) = results
    assert is_fused(other)
    assert not is_fused(value)
    torch.testing.assert_close(other, value, rtol=1e-5, atol=1e-5)
    assert len(gradients) == len(others) == 1 + 2 * 8 * 2
    for mine, theirs in zip(others, gradients, strict=True):
        assert theirs.abs().max() > 0
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)
        assert mine.stride() == theirs.stride()  # fused optimizers read both as if they lay alike


def test_an_input_without_gradient_needs_none() -> None:
    plain, fused = both()
    x, text = inputs()
    expected = torch.autograd.grad(run(plain, x, text).square().sum(), adapters(plain))
    found = torch.autograd.grad(run(fused, x, text).square().sum(), adapters(fused))
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-3)


def test_with_its_adapter_off_it_is_the_base_and_adapters_of_zero_change_no_bit() -> None:
    _, fused = both()
    x, text = inputs()
    for layer in fused.modules():
        if hasattr(layer, "enable_adapters"):
            layer.enable_adapters(False)  # type: ignore[operator]
    with torch.no_grad():
        base = run(fused, x, text)
    for layer in fused.modules():
        if hasattr(layer, "enable_adapters"):
            layer.enable_adapters(True)  # type: ignore[operator]
    with torch.no_grad():
        assert not torch.equal(run(fused, x, text), base)
        for name, value in fused.named_parameters():
            if "lora_B" in name:
                value.zero_()
        assert torch.equal(run(fused, x, text), base)
    assert torch.equal(run(fused, x, text), base)  # with a graph too


def test_neither_inputs_nor_gradients_are_changed_in_place() -> None:
    _, fused = both()
    x, text = inputs()
    leaf = x.clone().requires_grad_()
    found = run(fused, leaf, text)
    gradient = torch.ones_like(found)
    (first,) = torch.autograd.grad(found, [leaf], gradient, retain_graph=True)
    (second,) = torch.autograd.grad(found, [leaf], gradient)
    assert torch.equal(first, second)
    assert torch.equal(gradient, torch.ones_like(gradient))
    assert torch.equal(leaf, x)


def test_less_is_kept_for_the_backward() -> None:
    sizes = []
    for blocks in both():
        kept: dict[int, int] = {}
        known = {value.untyped_storage().data_ptr() for value in blocks.parameters()}

        def keep(value: Tensor, kept: dict[int, int] = kept, known: set[int] = known) -> Tensor:
            storage = value.untyped_storage()
            if storage.data_ptr() not in known:
                kept[storage.data_ptr()] = storage.nbytes()
            return value

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            found = run(blocks, *inputs())
        sizes.append(sum(kept.values()))
        del found
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize(
    "settings",
    [
        {"norm_type": "ada_norm_zero", "num_embeds_ada_norm": 4},
        {"activation_fn": "gelu"},
        {"dropout": 0.1},
        {"cross_attention_dim": None},
        {"norm_elementwise_affine": False},
        {"only_cross_attention": True},
        {"targets": ["to_q", "to_k", "to_v"]},
        {"targets": ["ff.net.2"]},
        {"targets": [*TARGETS, "ff.net.2"]},
    ],
)
def test_a_block_of_another_kind_is_left_as_it_is(settings: dict[str, Any]) -> None:
    blocks = model(**settings)
    make_lean(blocks)
    assert fuse_blocks(blocks) == 0
    assert not any("forward" in vars(block) for block in blocks)  # type: ignore[attr-defined]


@pytest.mark.parametrize("case", ["mask", "float64", "autocast", "no text", "another adapter"])
def test_a_call_of_another_kind_takes_the_blocks_own_forward(case: str) -> None:
    plain, fused = both()
    x, text = inputs()
    more: dict[str, Any] = {}
    if case == "mask":
        more = {"encoder_attention_mask": torch.zeros(2, 1, 5)}
    if case == "float64":
        plain, fused, x, text = plain.double(), fused.double(), x.double(), text.double()
    if case == "another adapter":
        for blocks in (plain, fused):
            torch.manual_seed(3)
            with pytest.warns(UserWarning, match="multiple adapters"):
                inject_adapter_in_model(LoraConfig(r=2, target_modules=TARGETS), blocks, adapter_name="other")
            for layer in blocks.modules():
                if hasattr(layer, "set_adapter"):
                    layer.set_adapter("other")  # type: ignore[operator]
    if case == "no text":
        with pytest.raises((RuntimeError, AttributeError)):  # as diffusers: keys of the text are not those of x
            fused[0](x)  # type: ignore[index]
        return
    with torch.autocast("cpu", torch.bfloat16, enabled=case == "autocast"):
        mine, theirs = (blocks[0](x, encoder_hidden_states=text, **more) for blocks in (fused, plain))  # type: ignore[index]
    assert not is_fused(mine)
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=0.1 if case == "autocast" else 1e-5)
