"""Which number format the networks compute in on this processor."""

from contextlib import AbstractContextManager, nullcontext

import torch

__all__ = ["native_bf16", "precision"]


def native_bf16() -> bool:
    """Whether this processor multiplies bfloat16 itself; without that bfloat16 is slower than float32."""
    capability = getattr(torch.backends.cpu, "get_cpu_capability", lambda: "")()
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return bool(supported) and "AVX512" in capability


def precision(bf16: bool | None = None) -> AbstractContextManager[object]:
    """Context in which a network runs on the CPU: bfloat16 where the processor has it, or as ``bf16`` says."""
    return torch.autocast("cpu", torch.bfloat16) if (native_bf16() if bf16 is None else bf16) else nullcontext()
