"""FSDP2: each process holds a shard of every weight, and gathers whole weights layer by layer when they are needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

from asap.align.policy import Policy
from asap.tensors.sharded import whole

__all__ = ["FullySharded"]

REFUSED: Final[dict[tuple[str, object], str]] = {
    ("gradient", "two_pass"): "takes gradients of whole weights; use checkpointing to save memory",
    ("skip_satisfied", True): "lets processes run unequal numbers of backwards",
    ("reuse_reference", True): "lets processes run unequal numbers of forwards",
    ("optimizer", "adamw8bit"): "has moments that cannot be sharded; use adamw",
    ("optimizer", "adamw8bit_ao"): "has moments that cannot be sharded; use adamw",
}
"""Settings that do not work: processes meet in every layer of every forward, so all must run equally many; and
gradients reach a shard only through FSDP2's own backward."""


class FullySharded:
    """See ``strategies.ParallelStrategy``."""

    shards = True

    def __init__(self, accelerator: Any) -> None:  # noqa: ANN401
        """Use the processes that ``accelerator`` knows."""
        self.accelerator = accelerator

    def faults(self, policy: Policy, settings: dict[str, object]) -> list[str]:
        """See ``REFUSED``; quantized weights cannot be sharded either."""
        faults = [
            f"{name} {str(value).lower()} does not work with weights sharded by FSDP2: it {reason}"
            for (name, value), reason in REFUSED.items()
            if settings.get(name) == value
        ]
        if getattr(policy.denoiser, "is_quantized", False):
            faults.append("quantization does not work with weights sharded by FSDP2; leave it off, or use ddp.yaml")
        return faults

    def place(self, policy: Policy, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """Shard the denoiser, in place. FSDP2 needs contiguous weights, so convolutions lose channels-last."""
        for module in policy.denoiser.modules():
            if isinstance(module, nn.Conv2d):
                module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        _, prepared = self.accelerator.prepare(policy.denoiser, optimizer)
        sharded: torch.optim.Optimizer = prepared
        return sharded

    def reduce_gradients(self, policy: Policy) -> None:
        """FSDP2 averages in every backward."""

    @contextmanager
    def saving(self, policy: Policy) -> Iterator[None]:
        """Inside, ``state_dict`` of the denoiser has whole trained weights, and its class is diffusers' own again.

        The other processes get empty tensors.
        """
        denoiser: Any = policy.denoiser
        keep = self.accelerator.is_main_process
        full: dict[str, Tensor] = {}
        for name, value in denoiser.named_parameters():
            if value.requires_grad:
                gathered = whole(value.detach())
                full[name] = gathered.cpu() if keep else gathered.new_empty(0)

        def put(_module: nn.Module, state: dict[str, Any], _prefix: str, _metadata: object) -> None:
            state.update({name: value for name, value in full.items() if name in state})

        sharded = type(denoiser)
        handle = denoiser.register_state_dict_post_hook(put)
        denoiser.__class__ = sharded.__mro__[2]  # FSDP2 makes a class of (FSDPModule, the module's own)
        try:
            yield
        finally:
            denoiser.__class__ = sharded
            handle.remove()
