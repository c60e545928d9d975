"""Weights spread over processes by FSDP2: each process holds a part of every one and joins them layer by layer.

What the trainer does to weights by hand (averages, checkpoints, the frozen reference of full training) goes through
here; for weights that are whole every function gives what it is given. Those that join parts are collective: all
processes call them, in the same order.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = [
    "exchanged",
    "forget_joined",
    "gathered",
    "is_spread",
    "lay_out_plainly",
    "local",
    "refusals",
    "shard",
    "spread_like",
    "spread_state",
    "unshardable",
    "whole",
    "whole_state",
]


def is_spread(value: Tensor) -> bool:
    """Whether a tensor is one process's part of a larger one."""
    return hasattr(value, "full_tensor")


def local(value: Tensor) -> Tensor:
    """This process's part."""
    spread: Any = value
    part: Tensor = spread.to_local() if is_spread(value) else value
    return part


def whole(value: Tensor) -> Tensor:
    """All of a tensor. Collective."""
    spread: Any = value
    found: Tensor = spread.full_tensor() if is_spread(value) else value
    return found


def spread_like(value: Tensor, full: Tensor) -> Tensor:
    """``full``, which every process has, spread as ``value`` is; nothing is sent."""
    if not is_spread(value):
        return full
    from torch.distributed.tensor import distribute_tensor

    like: Any = value
    return distribute_tensor(full.to(value.device, value.dtype), like.device_mesh, like.placements, src_data_rank=None)


def unshardable(denoiser: nn.Module, settings: Mapping[str, object]) -> list[str]:
    """What a run asks for that does not go with spread weights, in words.

    Processes meet in every layer of every forward, so all of them must run equally many; and gradients reach a part
    through FSDP2's own backward alone.
    """
    why: dict[tuple[str, object], str] = {
        ("gradient", "two_pass"): "takes gradients of whole weights; checkpointing spares memory there",
        ("skip", True): "lets processes run unequal numbers of backwards",
        ("reuse_reference", True): "lets processes run unequal numbers of forwards",
        ("compile", True): "was never tried with them",
        ("optimizer", "adamw8bit"): "keeps moments that cannot be spread; take adamw",
        ("optimizer", "adamw8bit_ao"): "keeps moments that cannot be spread; take adamw",
    }
    return refusals(denoiser, settings, why, "weights spread by FSDP2")


def refusals(
    denoiser: nn.Module, settings: Mapping[str, object], why: Mapping[tuple[str, object], str], what: str
) -> list[str]:
    """A line for each setting of ``why`` (name, value: reason) that is asked for, and one for quantized weights."""
    faults = [
        f"{name} {str(value).lower()} does not go with {what}: it {reason}"
        for (name, value), reason in why.items()
        if settings.get(name) == value
    ]
    if getattr(denoiser, "is_quantized", False):
        faults.append(f"quantization does not go with {what}; leave it off, or launch with ddp.yaml")
    return faults


def shard(accelerator: Any, denoiser: nn.Module, optimizer: torch.optim.Optimizer) -> Any:  # noqa: ANN401
    """Spread a denoiser, changed in place, and what its optimizer moves; the prepared optimizer.

    FSDP2 takes weights in the usual layout only, so convolutions lose the channels-last one.
    """
    lay_out_plainly(denoiser)
    _, prepared = accelerator.prepare(denoiser, optimizer)
    return prepared


def lay_out_plainly(denoiser: nn.Module) -> None:
    """Convolutions in the usual layout, for whoever sends weights as they lie."""
    for module in denoiser.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def whole_state(state: Mapping[str, Any], *, keep: bool) -> dict[str, Any]:
    """An optimizer's state with whole tensors on the CPU; without them where ``keep`` is off. Collective."""
    moments = {
        index: {name: _kept(value, keep) if isinstance(value, Tensor) else value for name, value in own.items()}
        for index, own in state["state"].items()
    }
    return {**state, "state": moments if keep else {}}


def _kept(value: Tensor, keep: bool) -> Tensor:
    found = whole(value)
    return found.cpu() if keep else found.new_empty(0)


def spread_state(state: Mapping[str, Any], weights: list[nn.Parameter]) -> dict[str, Any]:
    """The opposite: moments of a weight's shape are spread as the weight at their number is."""
    moments = {
        index: {
            name: spread_like(weights[index], value)
            if isinstance(value, Tensor) and value.shape == weights[index].shape
            else value
            for name, value in own.items()
        }
        for index, own in state["state"].items()
    }
    return {**state, "state": moments}


@contextmanager
def exchanged(model: nn.Module, weights: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> Iterator[None]:
    """Inside, ``weights`` of ``model`` hold the values of ``others`` of the same names, and the other way round."""
    _exchange(model, weights, others)
    try:
        yield
    finally:
        _exchange(model, weights, others)


def _exchange(model: nn.Module, weights: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> None:
    """In place, because FSDP2 keeps its parts by storage; what it has joined already is let go."""
    with torch.no_grad():
        for name, other in others.items():
            ours, theirs = local(weights[name]), local(other)
            kept = ours.clone()
            ours.copy_(theirs)
            theirs.copy_(kept)
    forget_joined(model)


def forget_joined(model: nn.Module) -> None:
    """Let every layer join its parts anew at its next forward; needed after weights were changed by hand."""
    for module in model.modules():
        layer: Any = module
        if hasattr(layer, "reshard"):
            layer.reshard()


@contextmanager
def gathered(denoiser: nn.Module, names: list[str], *, keep: bool) -> Iterator[None]:
    """Inside, the denoiser's ``state_dict`` has whole tensors at ``names``, and its class is diffusers' own again.

    So that whatever saves a denoiser saves this one; no forward may run meanwhile. Entering is collective.

    Args:
        denoiser: spread by ``shard``.
        names: of its parameters; those of others stay parts.
        keep: whether this process saves; the others get empty tensors.
    """
    held = dict(denoiser.named_parameters())
    full = {name: _kept(held[name].detach(), keep) for name in names}

    def put(_module: nn.Module, state: dict[str, Any], _prefix: str, _notes: object) -> None:
        state.update({name: value for name, value in full.items() if name in state})

    spread = type(denoiser)
    untyped: Any = denoiser
    handle = untyped.register_state_dict_post_hook(put)
    denoiser.__class__ = spread.__mro__[2]  # FSDP2 makes a class of (FSDPModule, the module's own)
    try:
        yield
    finally:
        denoiser.__class__ = spread
        handle.remove()
