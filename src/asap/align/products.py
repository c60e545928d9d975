"""Matrix products with frozen weights, by whichever library of torch is faster.

torch multiplies float32 matrices on the CPU through the BLAS that it was built with (MKL in its own builds), and has
oneDNN beside it, which it asks for convolutions only. Both give the same numbers up to rounding. On a processor with
AVX-512 oneDNN is the faster and is asked, in float32; on one with AVX2 alone it is the slower, and there and anywhere
else ``functional.linear`` is what runs. Which one runs depends on the processor only, so that a run that goes on takes
the products it began with. ``benchmarks/align`` has what was measured.
"""

from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["back", "fast", "fixed", "linear"]

WIDE: Final = "AVX512"
"""What torch calls the instructions with which oneDNN is the faster."""
FEWEST: Final = 64
"""Rows from which oneDNN is asked: below, a call costs more than the product."""


def _operator() -> Any:  # noqa: ANN401
    """OneDNN's linear map, which torch has for its compiler; None where this build has none."""
    found = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None  # type: ignore[no-untyped-call]
    return getattr(found, "default", None)


def _asked() -> bool:
    """Whether this build has oneDNN's linear map, on a processor on which it is the faster."""
    return _ONEDNN is not None and torch.backends.cpu.get_cpu_capability() == WIDE


_ONEDNN: Final = _operator()
ASKED: Final = _asked()


def fast(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN multiplies x (..., I) by ``weight`` (O, I)."""
    return (
        ASKED
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.numel() >= FEWEST * weight.shape[1]
        and not torch.is_autocast_enabled("cpu")
    )


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """X (..., I) W' + b with W (O, I) and b (O,); nothing is recorded for a backward."""
    if fast(x, weight):
        found: Tensor = _ONEDNN(x, weight, bias, "none", [], "")
        return found
    return functional.linear(x, weight, bias)


def back(gradient: Tensor, weight: Tensor) -> Tensor:
    """The gradient (..., O) of the output as that of the input, (..., I): g W with W (O, I)."""
    return linear(gradient, weight.t(), None)


def fixed(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``linear`` with gradient for x and none for the weights."""
    if torch.is_grad_enabled() and x.requires_grad:
        found: Tensor = _Fixed.apply(x, weight, bias)  # type: ignore[no-untyped-call]
        return found
    return linear(x, weight, bias)


class _Fixed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(weight)
        return linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (weight,) = ctx.saved_tensors
        return back(gradients[0], weight), None, None
