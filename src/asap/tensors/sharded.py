"""Tensors that may be sharded over processes (DTensor, as FSDP2 makes them); ordinary tensors pass through unchanged.

What is collective must be called by all processes, in the same order.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["is_sharded", "local", "reshard", "shard_like", "shard_state", "swapped", "whole", "whole_state"]


def is_sharded(value: Tensor) -> bool:
    """Whether this process has one shard of a larger tensor."""
    return hasattr(value, "full_tensor")


def local(value: Tensor) -> Tensor:
    """This process's shard."""
    sharded: Any = value
    shard: Tensor = sharded.to_local() if is_sharded(value) else value
    return shard


def whole(value: Tensor) -> Tensor:
    """All of a tensor. Collective."""
    sharded: Any = value
    gathered: Tensor = sharded.full_tensor() if is_sharded(value) else value
    return gathered


def shard_like(value: Tensor, full: Tensor) -> Tensor:
    """``full``, which every process has, sharded as ``value`` is; without communication."""
    if not is_sharded(value):
        return full
    from torch.distributed.tensor import distribute_tensor

    like: Any = value
    return distribute_tensor(full.to(value.device, value.dtype), like.device_mesh, like.placements, src_data_rank=None)


def whole_state(state: Mapping[str, Any], *, keep: bool) -> dict[str, Any]:
    """An optimizer's ``state_dict`` with whole tensors on the CPU; without tensors if not ``keep``. Collective."""
    moments = {
        index: {
            name: (whole(value).cpu() if keep else whole(value)) if isinstance(value, Tensor) else value
            for name, value in own.items()
        }
        for index, own in state["state"].items()
    }
    return {**state, "state": moments if keep else {}}


def shard_state(state: Mapping[str, Any], weights: Sequence[Tensor]) -> dict[str, Any]:
    """The inverse of ``whole_state``: moments with the shape of their weight are sharded as it is."""
    moments = {
        index: {
            name: shard_like(weights[index], value)
            if isinstance(value, Tensor) and value.shape == weights[index].shape
            else value
            for name, value in own.items()
        }
        for index, own in state["state"].items()
    }
    return {**state, "state": moments}


@contextmanager
def swapped(model: nn.Module, weights: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> Iterator[None]:
    """Inside, ``weights`` of ``model`` have the values of ``others`` of the same names, and the other way round."""
    _swap(model, weights, others)
    try:
        yield
    finally:
        _swap(model, weights, others)


@torch.no_grad()
def _swap(model: nn.Module, weights: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> None:
    """In place, because FSDP2 identifies its shards by their storage."""
    for name, other in others.items():
        first, second = local(weights[name]), local(other)
        before = first.clone()
        first.copy_(second)
        second.copy_(before)
    reshard(model)


def reshard(model: nn.Module) -> None:
    """Let FSDP2 gather weights again at the next forward; needed after they were changed outside an optimizer."""
    for module in model.modules():
        layer: Any = module
        if hasattr(layer, "reshard"):
            layer.reshard()
