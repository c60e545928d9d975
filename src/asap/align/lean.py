"""LoRA's linear layers with the fewest passes over memory.

Layers of peft compute ``base(x) + scaling * B(A(x))`` with three tensors of the size of the output on the way, and
their backward adds two gradients of the size of the input. Here the low-rank part is added where the base's output
lies, by one fused matrix product each way: the same numbers up to rounding, a tenth less time for a step of a UNet on
the CPU (``benchmarks/align``), and nothing more kept for the backward than x and A(x).
"""

import types
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["make_lean"]


def make_lean(denoiser: nn.Module) -> int:
    """Give every plain LoRA layer of ``denoiser`` the lean forward; returns how many.

    Plain is: a linear map of unquantized weights, no DoRA, no dropout, no bias of its own. Others keep peft's.
    """
    from peft.tuners.lora.layer import Linear

    changed = 0
    for module in denoiser.modules():
        if type(module) is Linear and _plain(module):
            module.forward = types.MethodType(_forward, module)
            changed += 1
    return changed


def _plain(layer: Any) -> bool:  # noqa: ANN401  (peft has no types)
    base = layer.get_base_layer()
    if type(base) is not nn.Linear or type(base.weight) is not nn.Parameter or not base.weight.is_floating_point():
        return False
    names = list(layer.lora_A)
    if len(names) != 1 or layer.lora_variant or layer.merged:
        return False
    return isinstance(layer.lora_dropout[names[0]], nn.Identity) and layer.lora_B[names[0]].bias is None


def _forward(self: Any, x: Tensor) -> Tensor:  # noqa: ANN401
    """Forward of a layer that ``make_lean`` changed; with the adapter off, or merged, that of its base."""
    base = self.base_layer
    if self.disable_adapters or self.merged:
        whole: Tensor = base(x)
        return whole
    (name,) = self.active_adapters
    hook = getattr(base, "_hf_hook", None)  # of ``align.offload``: the base's weights are there between its two calls
    if hook is not None:
        hook.pre_forward(base)
    found: Tensor = _LowRank.apply(  # type: ignore[no-untyped-call]
        x, base.weight, base.bias, self.lora_A[name].weight, self.lora_B[name].weight, self.scaling[name]
    )
    if hook is not None:
        hook.post_forward(base, found)
    return found


class _LowRank(torch.autograd.Function):
    """x W' + b + s (x A') B', without gradient for W and b. x (..., I), W (O, I), A (r, I), B (O, r)."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        scaling: float,
    ) -> Tensor:
        device = x.device.type
        kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        flat, low, high = x.reshape(-1, x.shape[-1]).to(kind), down.to(kind), up.to(kind)
        whole = functional.linear(flat, weight.to(kind), None if bias is None else bias.to(kind))
        inner = flat @ low.t()
        ctx.save_for_backward(flat, inner, weight, low, high)
        ctx.scaling, ctx.shape, ctx.kinds = scaling, x.shape, (x.dtype, down.dtype, up.dtype)
        return whole.addmm_(inner, high.t(), alpha=scaling).reshape(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        flat, inner, weight, low, high = ctx.saved_tensors
        (gradient,) = gradients
        whole = gradient.reshape(-1, gradient.shape[-1])
        back = (whole @ high).mul_(ctx.scaling)
        own = None
        if ctx.needs_input_grad[0]:
            own = (whole @ weight.to(whole.dtype)).addmm_(back, low).reshape(ctx.shape).to(ctx.kinds[0])
        for_low = (back.t() @ flat).to(ctx.kinds[1])
        for_high = (whole.t() @ inner).mul_(ctx.scaling).to(ctx.kinds[2])
        return own, None, None, for_low, for_high, None
