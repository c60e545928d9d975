"""Which weights of a denoiser are trained: a LoRA, DoRA or LoKr adapter, or all of them.

Adapters are peft's, added by diffusers, so that other programs can load them. Plain LoRA layers run a forward that
keeps less memory (``align.lean``).
"""

from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import torch
from torch import nn

from asap.align.lean import make_lean
from asap.align.policy import Policy, Trainable
from asap.core.errors import ConfigError, InputError
from asap.core.seeds import derive

__all__ = ["ADAPTERS", "AdapterKind", "AdapterSettings", "adapt", "make_full"]

AdapterKind = Literal["lora", "dora", "lokr", "full"]
ADAPTERS: Final[tuple[str, ...]] = get_args(AdapterKind)


@dataclass(frozen=True, kw_only=True)
class AdapterSettings:
    """Which weights are trained."""

    kind: AdapterKind = "lora"
    """``lora``: W + s*B*A (arXiv:2106.09685). ``dora``: the same with a magnitude per column (arXiv:2402.09353).
    ``lokr``: a Kronecker product instead of B*A (LyCORIS, arXiv:2309.14859). ``full``: every weight, no adapter."""
    rank: int = 16
    alpha: float | None = None
    """Numerator of the scaling s = alpha / rank; None: ``rank``, that is 1."""

    def faults(self) -> list[str]:
        """What is out of range, one message each."""
        checks = {
            f"adapter must be one of {', '.join(ADAPTERS)}, got {self.kind!r}": self.kind in ADAPTERS,
            f"lora_rank must be at least 1, got {self.rank}": self.rank >= 1,
            f"lora_alpha must be > 0, got {self.alpha}": self.alpha is None or self.alpha > 0,
        }
        return [text for text, good in checks.items() if not good]


def adapt(backbone: Trainable, settings: AdapterSettings, *, seed: int) -> Policy:
    """A policy whose trainable weights are those of ``settings``; it starts as the reference.

    Args:
        backbone: changed in place: frozen, with the adapter added; or, for ``full``, trainable.
        settings: what to train.
        seed: decides the random half of the adapter.

    Raises:
        ConfigError: settings out of range.
        InputError: none of the backbone's target layers exists, or full training of a quantized denoiser is asked for.
    """
    if faults := settings.faults():
        raise ConfigError.collect(faults)
    if settings.kind == "full":
        return _full(backbone)
    backbone.denoiser.requires_grad_(False)
    _use_channels_last(backbone.denoiser)  # before the adapter is added: safetensors refuses weights in this layout
    denoiser: Any = backbone.denoiser
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "lora"))
        try:
            denoiser.add_adapter(_config(settings, backbone.lora_targets))
        except ValueError as error:
            raise InputError(f"cannot add a {settings.kind} adapter to this model: {error}") from error
    make_lean(backbone.denoiser)
    return _finish(Policy(backbone))


def _config(settings: AdapterSettings, targets: tuple[str, ...]) -> object:
    from peft import LoKrConfig, LoraConfig

    alpha = settings.rank if settings.alpha is None else settings.alpha
    if settings.kind == "lokr":
        return LoKrConfig(r=settings.rank, alpha=alpha, target_modules=list(targets), init_weights=True)
    return LoraConfig(
        r=settings.rank,
        lora_alpha=alpha,
        target_modules=list(targets),
        init_lora_weights="gaussian",
        use_dora=settings.kind == "dora",
    )


def make_full(backbone: Trainable) -> Policy:
    """``adapt`` with every weight of the denoiser."""
    return _full(backbone)


def _full(backbone: Trainable) -> Policy:
    if getattr(backbone.denoiser, "is_quantized", False):
        raise InputError(
            "full training needs weights that are not quantized; train an adapter, or leave quantization off"
        )
    backbone.denoiser.requires_grad_(True)
    _use_channels_last(backbone.denoiser)
    return _finish(Policy(backbone))


def _use_channels_last(denoiser: nn.Module) -> None:
    """Channels last, the faster layout of convolutions.

    A frozen copy must be made in the layout that is trained, or policy and reference run different kernels.
    """
    for module in denoiser.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _finish(policy: Policy) -> Policy:
    """Evaluation mode, so that policy and reference do not differ by a dropout mask; trained weights in float32."""
    policy.denoiser.eval()
    for parameter in policy.trainable().values():
        parameter.data = parameter.data.float()
    return policy
