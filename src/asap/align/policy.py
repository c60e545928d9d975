"""The policy that is trained and the reference it is held against, on one numeric path.

The reference is never a second model: with LoRA it is the policy with its adapter off, with full fine-tuning it is the
policy's own module run with a frozen copy of its weights. Both therefore run the same kernels on the same shapes, and
delta is exactly 0 before the first step.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from asap.backbones.protocol import TextCondition
from asap.core.errors import InputError
from asap.core.seeds import derive

__all__ = ["Denoise", "Policy", "Trainable", "adapter_reference", "add_lora", "frozen_reference", "make_full"]

Denoise = Callable[[Tensor, Tensor, TextCondition], Tensor]
"""(x_t (B, C, h, w), t (B,), c) -> prediction (B, C, h, w)."""


class Trainable(Protocol):
    """The part of a backbone that training touches."""

    @property
    def denoiser(self) -> nn.Module:
        """What is trained; a diffusers model with ``add_adapter``."""

    @property
    def lora_targets(self) -> tuple[str, ...]:
        """Names of the linear maps that LoRA adapts."""

    def denoise(self, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        """Run ``denoiser``."""


class Policy(nn.Module):
    """A backbone's denoiser with its conditioning as one module, so that accelerate can wrap the forward itself."""

    def __init__(self, backbone: Trainable) -> None:
        """Share the backbone's denoiser; nothing is copied."""
        super().__init__()
        self.denoiser = backbone.denoiser
        self._denoise: Denoise = backbone.denoise

    def forward(self, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        """Prediction for ``x_t`` (B, C, h, w) at ``t`` (B,)."""
        return self._denoise(x_t, t, condition)

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that the optimizer moves, by name, in a stable order."""
        return {name: value for name, value in self.named_parameters() if value.requires_grad}


def add_lora(backbone: Trainable, *, rank: int, alpha: float | None, seed: int) -> Policy:
    """A policy whose only trainable weights are a fresh LoRA adapter (its B is 0, so it starts as the reference).

    Args:
        backbone: changed in place: frozen, with the adapter added.
        rank: rank of each update, >= 1.
        alpha: scaling numerator; None means ``rank``, that is scaling 1.
        seed: the adapter's A is drawn from it and nothing else.

    Raises:
        InputError: a rank below 1, or none of the backbone's target layers exists.
    """
    from peft import LoraConfig

    if rank < 1:
        raise InputError(f"a LoRA rank must be at least 1, got {rank}")
    backbone.denoiser.requires_grad_(False)
    _lay_out(backbone.denoiser)  # before the adapter is added: safetensors refuses weights in this layout
    config = LoraConfig(
        r=rank,
        lora_alpha=rank if alpha is None else alpha,
        target_modules=list(backbone.lora_targets),
        init_lora_weights="gaussian",
    )
    denoiser: Any = backbone.denoiser
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "lora"))
        try:
            denoiser.add_adapter(config)
        except ValueError as error:
            raise InputError(f"cannot add a LoRA adapter to this model: {error}") from error
    return _settled(Policy(backbone))


def make_full(backbone: Trainable) -> Policy:
    """A policy that trains every weight of the denoiser."""
    backbone.denoiser.requires_grad_(True)
    _lay_out(backbone.denoiser)
    return _settled(Policy(backbone))


def _lay_out(denoiser: nn.Module) -> None:
    """Channels last, the faster layout of convolutions.

    A frozen copy must be taken in the layout that is trained, or policy and reference run different kernels.
    """
    denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _settled(policy: Policy) -> Policy:
    """Evaluation mode: policy and reference must not differ by a dropout mask. Gradients flow all the same."""
    policy.denoiser.eval()
    for parameter in policy.trainable().values():
        parameter.data = parameter.data.float()
    return policy


def adapter_reference(policy: Policy) -> Denoise:
    """The policy with its adapter off."""

    def run(x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        with torch.no_grad(), _adapter_off(policy.denoiser):
            prediction: Tensor = policy(x_t, t, condition)
        return prediction

    return run


def frozen_reference(policy: Policy) -> Denoise:
    """The policy's module run with a copy of its weights as they are now."""
    frozen = {name: value.detach().clone() for name, value in policy.named_parameters()}

    def run(x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        with torch.no_grad():
            prediction: Tensor = torch.func.functional_call(policy, frozen, (x_t, t, condition))
        return prediction

    return run


@contextmanager
def _adapter_off(denoiser: nn.Module) -> Iterator[None]:
    model: Any = denoiser
    model.disable_adapters()
    try:
        yield
    finally:
        model.enable_adapters()
