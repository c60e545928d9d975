"""Frozen weights that are kept in main memory and copied to the device for the forward of their layer only.

Each layer whose own weights are all frozen gets a hook of accelerate that copies them before its forward and frees them
after it. A graph keeps the weights that its backward needs, so memory is saved only where nothing keeps a graph of many
layers: in the reference, in sampling, and in the policy with gradient checkpointing.
"""

import torch
from torch import nn

from asap.core.errors import ConfigError

__all__ = ["is_offloaded", "offload_frozen"]


def offload_frozen(denoiser: nn.Module, device: torch.device) -> int:
    """Move the frozen weights of ``denoiser`` to main memory and the trained ones to ``device``.

    Returns:
        Number of layers whose weights are copied for each forward.

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
        raise ConfigError(
            "offload blocks moves frozen weights to main memory, but every weight is trained; train an adapter"
        )
    return count


def is_offloaded(module: nn.Module) -> bool:
    """Whether some of its weights are on the device during forwards only."""
    return any(value.is_meta for value in module.parameters())
