"""Optimizers by name; the 8-bit ones keep their two moments in blocks of eight bits (arXiv:2110.02861)."""

import importlib
from collections.abc import Sequence
from typing import Any, Final, Literal, get_args

import torch
from torch import nn

from asap.core.errors import ConfigError

__all__ = ["OPTIMIZERS", "OptimizerName", "build_optimizer"]

OptimizerName = Literal["adamw", "adamw8bit", "adamw8bit_ao"]
OPTIMIZERS: Final[tuple[str, ...]] = get_args(OptimizerName)


def build_optimizer(
    name: OptimizerName, weights: Sequence[nn.Parameter], *, lr: float, weight_decay: float
) -> torch.optim.Optimizer:
    """AdamW in the named form, with torch's betas (0.9, 0.999) and epsilon 1e-8.

    Args:
        name: ``adamw`` (float32 moments, fused kernel), ``adamw8bit`` (bitsandbytes) or ``adamw8bit_ao`` (torchao).
        weights: the trained parameters.
        lr: learning rate.
        weight_decay: decoupled.

    Raises:
        ConfigError: the package of an 8-bit optimizer is not installed.
    """
    if name == "adamw":
        fused = all(value.device.type in ("cpu", "cuda") for value in weights)
        return torch.optim.AdamW(weights, lr=lr, weight_decay=weight_decay, fused=fused or None)
    package = "bitsandbytes" if name == "adamw8bit" else "torchao"
    try:
        make: Any = importlib.import_module(f"{package}.optim").AdamW8bit
    except ImportError as error:
        raise ConfigError(
            f"the optimizer {name} needs {package}; run pip install {package}, or ask for optimizer adamw"
        ) from error
    built: torch.optim.Optimizer = make(list(weights), lr=lr, weight_decay=weight_decay)
    return built
