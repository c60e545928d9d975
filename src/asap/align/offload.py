"""Frozen weights that lie in main memory and come to the device for the forward of their layer only.

Each layer whose own weights are all frozen gets a hook of accelerate that fetches them before its forward and lets go
of them after it. A graph keeps the weights that its backward needs, so memory is spared only where nothing keeps a
graph of many layers: in the reference, in sampling, and with gradient checkpointing in the policy as well.
"""

import torch
from torch import nn

from asap.core.errors import ConfigError

__all__ = ["is_offloaded", "offload_frozen"]


def offload_frozen(denoiser: nn.Module, device: torch.device) -> int:
    """Put the frozen weights of ``denoiser`` into main memory and the trained ones on ``device``.

    Returns:
        Number of layers whose weights come and go.

    Raises:
        ConfigError: nothing is frozen.
    """
    from accelerate.hooks import AlignDevicesHook, add_hook_to_module

    for value in denoiser.parameters():
        if value.requires_grad:
            value.data = value.data.to(device)
    count = 0
    for module in denoiser.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(value.requires_grad for value in own):
            add_hook_to_module(module, AlignDevicesHook(execution_device=device, offload=True))
            count += 1
    if not count:
        raise ConfigError("offload blocks keeps frozen weights away, but every weight is trained; train an adapter")
    return count


def is_offloaded(module: nn.Module) -> bool:
    """Whether some of its weights are not there between forwards."""
    return any(value.is_meta for value in module.parameters())
