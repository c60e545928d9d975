"""The linear layers of a denoiser that carries a LoRA, with the fewest passes over memory and the faster product.

Layers of peft compute ``base(x) + scaling * B(A(x))`` with three tensors of the size of the output on the way, and
their backward adds two gradients of the size of the input. Here the low-rank part is added where the base's output
lies, by one fused matrix product each way, or, in float32 and where rows outnumber channels, in the weights themselves:
W' = W + s B A is made for one forward or backward and let go. Either way nothing more is kept for the backward than x
and A(x). In fewer bits than float32 small changes of a weight would be rounded away, so there nothing is merged.

On the CPU in float32, products with frozen weights run in oneDNN (``align.products``), in the adapter's layers and in
all others. Policy and reference run the same kernels on the same shapes.
"""

import types
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from asap.align.products import back, fast, fixed, linear

__all__ = ["make_lean"]


def make_lean(denoiser: nn.Module) -> int:
    """Give every plain LoRA layer of ``denoiser`` the lean forward, and other linear maps the fast product.

    Plain is: a linear map of unquantized weights, no DoRA, no dropout, no bias of its own. Others keep peft's.

    Returns:
        How many LoRA layers are lean; if none is, nothing was changed.
    """
    from peft.tuners.lora.layer import Linear

    layers = [module for module in denoiser.modules() if type(module) is Linear and _plain(module)]
    for layer in layers:
        layer.forward = types.MethodType(_forward, layer)
    if layers:
        for module in denoiser.modules():
            if type(module) is nn.Linear and _frozen(module):
                module.forward = types.MethodType(_fixed, module)  # type: ignore[method-assign]
    return len(layers)


def _plain(layer: Any) -> bool:  # noqa: ANN401  (peft has no types)
    base = layer.get_base_layer()
    if type(base) is not nn.Linear or type(base.weight) is not nn.Parameter or not base.weight.is_floating_point():
        return False
    names = list(layer.lora_A)
    if len(names) != 1 or layer.lora_variant or layer.merged:
        return False
    return isinstance(layer.lora_dropout[names[0]], nn.Identity) and layer.lora_B[names[0]].bias is None


def _frozen(layer: nn.Linear) -> bool:
    """Whether no gradient of its weights is asked for, and nothing else (a hook of accelerate) has its forward."""
    values = list(layer.parameters())
    return "forward" not in vars(layer) and not any(value.requires_grad for value in values)


def _fixed(self: nn.Linear, x: Tensor) -> Tensor:
    """Forward of a frozen layer that ``make_lean`` changed."""
    if fast(x, self.weight) and not self.weight.requires_grad:
        return fixed(x, self.weight, self.bias)
    return functional.linear(x, self.weight, self.bias)


def _forward(self: Any, x: Tensor) -> Tensor:  # noqa: ANN401
    """Forward of a layer that ``make_lean`` changed; with the adapter off, or merged, that of its base.

    Modules and parameters are taken from their tables: the attributes of a module are found slowly, and small layers
    have hundreds of these in a forward.
    """
    modules = self._modules
    base = modules["base_layer"]
    if self._disable_adapters or self.merged_adapters:
        whole: Tensor = base(x)
        return whole
    (name,) = self.active_adapters
    hook = vars(base).get("_hf_hook")  # of ``align.offload``: the base's weights are there between its two calls
    if hook is not None:
        hook.pre_forward(base)
    own = base._parameters
    down, up = (modules[side]._modules[name]._parameters["weight"] for side in ("lora_A", "lora_B"))
    found: Tensor = _LowRank.apply(  # type: ignore[no-untyped-call]
        x, own["weight"], own["bias"], down, up, self.scaling[name]
    )
    if hook is not None:
        hook.post_forward(base, found)
    return found


def _merges(rows: int, weight: Tensor) -> bool:
    """Whether making W' twice, forward and backward, takes fewer numbers than changing output and gradient."""
    return weight.dtype == torch.float32 and 2 * weight.numel() < rows * sum(weight.shape)


def _in(value: Tensor, kind: torch.dtype) -> Tensor:
    return value if value.dtype == kind else value.to(kind)


def _times(value: Tensor, scaling: float) -> Tensor:
    """In place."""
    return value if scaling == 1 else value.mul_(scaling)


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
        flat, low, high = _in(x.reshape(-1, x.shape[-1]), kind), _in(down, kind), _in(up, kind)
        inner = flat @ low.t()
        ctx.save_for_backward(flat, inner, weight, low, high)
        ctx.scaling, ctx.shape, ctx.kinds = scaling, x.shape, (x.dtype, down.dtype, up.dtype)
        ctx.merges = kind == torch.float32 and _merges(len(flat), weight)
        if ctx.merges:
            found = linear(flat, torch.addmm(weight, high, low, alpha=scaling), bias)
        else:
            whole = linear(flat, _in(weight, kind), None if bias is None else _in(bias, kind))
            found = whole.addmm_(inner, high.t(), alpha=scaling)
        return found.reshape(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        flat, inner, weight, low, high = ctx.saved_tensors
        whole = gradients[0].reshape(-1, gradients[0].shape[-1])
        # Products with a side of a few numbers go the way in which BLAS reads few long rows, not many short ones.
        behind = _times(whole @ high.t().contiguous().t(), ctx.scaling)
        own = None
        if ctx.needs_input_grad[0]:
            if ctx.merges:
                own = back(whole, torch.addmm(weight, high, low, alpha=ctx.scaling))
            else:
                own = back(whole, _in(weight, whole.dtype)).addmm_(behind, low)
            own = _in(own.reshape(ctx.shape), ctx.kinds[0])
        for_low = _in(behind.t() @ flat, ctx.kinds[1])
        for_high = _in(_times(inner.t() @ whole, ctx.scaling).t().contiguous(), ctx.kinds[2])
        return own, None, None, for_low, for_high, None
