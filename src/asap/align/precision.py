"""Dtypes of training: what the forwards compute in, and the loss scale that float16 needs."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Literal

import torch

__all__ = ["DTYPES", "LossScale", "Precision", "autocast", "fast_bf16", "resolve_precision"]

Precision = Literal["fp32", "bf16", "fp16", "auto"]
DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
LARGEST: Final = 2.0**16
GROW_AFTER: Final = 2000
"""Steps without overflow after which the scale doubles; values of ``torch.amp.GradScaler``."""


def fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 there: a CUDA device that has it, or a CPU with its instructions."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return device.type == "cpu" and bool(supported)


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """``precision`` with ``auto`` resolved for a device."""
    if precision != "auto":
        return precision
    return "bf16" if fast_bf16(device) else "fp32"


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """A context in which forwards compute in ``precision``; disabled for float32."""
    return torch.autocast(
        device.type, dtype=DTYPES.get(precision, torch.float32), enabled=precision in ("bf16", "fp16")
    )


@dataclass
class LossScale:
    """Factor of a float16 loss, so that gradients do not vanish; halved on overflow, doubled after many good steps."""

    value: float = 1.0
    calm: int = 0
    """Steps since it last changed."""
    active: bool = False

    @classmethod
    def of(cls, precision: Precision) -> "LossScale":
        """The initial scale: 2**16 for float16, otherwise 1 forever."""
        return cls(value=LARGEST, active=True) if precision == "fp16" else cls()

    def update(self, *, finite: bool) -> None:
        """Adapt to one step's gradients."""
        if not self.active:
            return
        self.calm = self.calm + 1 if finite else 0
        if not finite:
            self.value = max(self.value / 2, 1.0)
        elif self.calm == GROW_AFTER:
            self.value, self.calm = self.value * 2, 0
