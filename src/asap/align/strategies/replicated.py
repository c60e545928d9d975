"""Every process holds the whole model; gradients are averaged once per step, after its last backward."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from asap.align.offload import is_offloaded
from asap.align.policy import Policy

__all__ = ["Replicated"]


class Replicated:
    """See ``strategies.ParallelStrategy``. Also for a single process."""

    shards = False

    def __init__(self, accelerator: Any) -> None:  # noqa: ANN401
        """Use the processes that ``accelerator`` knows."""
        self.accelerator = accelerator

    def faults(self, policy: Policy, settings: dict[str, object]) -> list[str]:
        """Nothing is refused."""
        del policy, settings
        return []

    def place(self, policy: Policy, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """Move the policy to the device, unless its frozen weights are fetched layer by layer."""
        if not is_offloaded(policy):
            policy.to(self.accelerator.device)
        return optimizer

    def reduce_gradients(self, policy: Policy) -> None:
        """Average over processes. A weight without gradient in one process counts as 0 there."""
        if self.accelerator.num_processes == 1:
            return
        for value in policy.trainable().values():
            value.grad = torch.zeros_like(value) if value.grad is None else value.grad
            value.grad = self.accelerator.reduce(value.grad, "mean")

    def saving(self, policy: Policy) -> AbstractContextManager[None]:
        """Nothing to prepare."""
        del policy
        return nullcontext()
