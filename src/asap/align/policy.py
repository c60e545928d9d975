"""The policy that is trained and the frozen reference that it is compared with.

The reference is never a second model: with an adapter it is the policy with its adapter disabled, with full fine-tuning
the policy's own module run with a frozen copy of its weights. Both therefore run the same kernels on the same shapes,
and delta is exactly 0 before the first step.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

from asap.backbones.protocol import TextCondition
from asap.tensors.sharded import is_sharded, swapped

__all__ = ["Denoise", "MakeReference", "Policy", "Trainable", "adapter_reference", "frozen_reference"]

Denoise = Callable[[Tensor, Tensor, TextCondition], Tensor]
"""(x_t (B, C, h, w), t (B,), c) -> prediction (B, C, h, w)."""


class Trainable(Protocol):
    """The part of a backbone that training touches."""

    @property
    def denoiser(self) -> nn.Module:
        """What is trained; a diffusers model with ``add_adapter``."""

    @property
    def lora_targets(self) -> tuple[str, ...]:
        """Names of the layers that get an adapter."""

    def denoise(self, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        """Run ``denoiser``."""


class Policy(nn.Module):
    """A backbone's denoiser with its conditioning as one module, so that its forward can be called as one."""

    def __init__(self, backbone: Trainable) -> None:
        """Use the backbone's denoiser itself; nothing is copied."""
        super().__init__()
        self.denoiser = backbone.denoiser
        self._denoise: Denoise = backbone.denoise

    def forward(self, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        """Prediction for ``x_t`` (B, C, h, w) at ``t`` (B,)."""
        return self._denoise(x_t, t, condition)

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that the optimizer moves, by name, in a stable order."""
        return {name: value for name, value in self.named_parameters() if value.requires_grad}


MakeReference = Callable[[Policy], Denoise]
"""``adapter_reference`` or ``frozen_reference``; called when the policy is on its device and sharded."""


def adapter_reference(policy: Policy) -> Denoise:
    """The policy with its adapter disabled."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in policy.denoiser.modules() if isinstance(module, BaseTunerLayer)]

    def run(x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        with torch.no_grad(), _off(layers):
            prediction: Tensor = policy(x_t, t, condition)
        return prediction

    return run


def frozen_reference(policy: Policy) -> Denoise:
    """The policy's module run with a copy of its current weights; of sharded weights, a copy of each shard."""
    weights = dict(policy.named_parameters())
    frozen = {name: value.detach().clone() for name, value in weights.items()}

    def run(x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        with torch.no_grad():
            prediction: Tensor = torch.func.functional_call(policy, frozen, (x_t, t, condition))
        return prediction

    def run_sharded(x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        with torch.no_grad(), swapped(policy, weights, frozen):
            prediction: Tensor = policy(x_t, t, condition)
        return prediction

    return run_sharded if any(is_sharded(value) for value in frozen.values()) else run


@contextmanager
def _off(layers: list[nn.Module]) -> Iterator[None]:
    """Inside, every layer computes what its base does. Faster than peft's switch, which visits all parameters."""
    before = [layer._disable_adapters for layer in layers]
    for layer in layers:
        layer._disable_adapters = True  # type: ignore[assignment]
    try:
        yield
    finally:
        for layer, value in zip(layers, before, strict=True):
            layer._disable_adapters = value
