"""The dtype in which networks compute on a processor or GPU."""

from contextlib import AbstractContextManager, nullcontext

import torch

__all__ = ["native_bf16", "precision"]


def native_bf16(device: torch.device | str = "cpu") -> bool:
    """Whether the processor or GPU multiplies bfloat16 natively; otherwise bfloat16 is slower than float32."""
    kind = torch.device(device).type
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capability = getattr(torch.backends.cpu, "get_cpu_capability", lambda: "")()
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return kind == "cpu" and bool(supported) and "AVX512" in capability


def precision(bf16: bool | None = None, device: torch.device | str = "cpu") -> AbstractContextManager[object]:
    """Autocast context for a network on ``device``: bfloat16 if it is native, or as ``bf16`` says."""
    wanted = native_bf16(device) if bf16 is None else bf16
    return torch.autocast(torch.device(device).type, torch.bfloat16) if wanted else nullcontext()
