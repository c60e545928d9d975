"""Ways to compute the same step with less time or memory, or in several processes. The trainer knows none of them.

one pass, two passes, skipping    how the gradient of a micro-batch gets into the weights   ``gradient_strategy``
cached reference                  where the reference's errors come from                    ``cached_reference``
replicated, FSDP2                 where weights are and how processes share gradients       ``parallel_strategy``
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol

import torch

from asap.align.batch import NoiseSamples, PairBatch
from asap.align.policy import Policy
from asap.align.step import Objective, StepResult, one_pass
from asap.align.strategies.fsdp import FullySharded
from asap.align.strategies.pairwise import skip_satisfied, two_pass
from asap.align.strategies.replicated import Replicated

__all__ = ["GradientMode", "ParallelStrategy", "gradient_strategy", "parallel_strategy"]

GradientMode = Literal["one_pass", "two_pass"]
GradientStrategy = Callable[[Objective, PairBatch, NoiseSamples, float], StepResult]
"""Adds the gradient of the last argument times the sum of the pairs' losses to the weights, as ``step.one_pass``."""


class ParallelStrategy(Protocol):
    """Where weights are and how processes share gradients. All processes call every method, in the same order."""

    @property
    def shards(self) -> bool:
        """Whether each process has a part of the weights."""

    def faults(self, policy: Policy, settings: dict[str, object]) -> list[str]:
        """Settings that do not work with it, one message each."""

    def place(self, policy: Policy, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """Move model and optimizer to where they are trained; returns the optimizer to use."""

    def reduce_gradients(self, policy: Policy) -> None:
        """Average the gradients over processes, unless the backward has done so."""

    def saving(self, policy: Policy) -> AbstractContextManager[None]:
        """Inside, the main process can save the denoiser; no forward may run."""


def gradient_strategy(mode: GradientMode, *, skip: bool) -> GradientStrategy:
    """The gradient strategy of some settings."""
    if mode == "two_pass":
        return two_pass
    return skip_satisfied if skip else one_pass


def parallel_strategy(accelerator: Any) -> ParallelStrategy:  # noqa: ANN401  (accelerate has no types)
    """The parallel strategy that the launcher asks accelerate for."""
    return FullySharded(accelerator) if accelerator.is_fsdp2 else Replicated(accelerator)
