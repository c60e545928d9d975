"""The transformer block of SD1.5's and SDXL's UNet as one function with a backward of its own, on the CPU in float32.

Beside its products a block costs calls, autograd's bookkeeping and passes over memory, and one image at a time
(``gradients``, two passes) pays for much of that twice. Here a block of diffusers,

    x1 = x + attention(norm1(x)),  x2 = x1 + attention(norm2(x1), text),
    y = x2 + W2 (a * gelu(g)),  (a, g) = W1 norm3(x2)

with plain LoRA on the eight projections of its two attentions, is one node of the graph: projections that share an
input share the product with their adapters' first matrices, sums are taken in place, and only what the backward cannot
make again for little is kept: x, x1, x2, queries, keys, values and outputs of the attentions, a, g and gelu(g).
Numbers are those of the block's own forward up to rounding; reference and policy run the same kernels. Any block or
call that is not of this kind runs as it did.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from asap.align.products import back, linear

__all__ = ["fuse_blocks"]

_ATTEND: Final = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
_ATTEND_BACK: Final = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu_backward", None)
Kept = tuple[Tensor, ...]
"""What a backward needs."""
Frozen = tuple[Tensor, Tensor | None]
"""Weight and bias of a layer."""


@dataclass(frozen=True)
class _Block:
    """The parts of one block in the order of its data."""

    norms: tuple[nn.LayerNorm, ...]
    layers: tuple[Any, ...]
    """Eight layers of peft: queries, keys, values, output of the first attention, then of the second."""
    wide: tuple[nn.Linear, nn.Linear]
    """Of the feed-forward: W1 and W2."""
    name: str
    """Of the adapter."""
    heads: tuple[int, int]

    def adapters(self) -> list[Tensor]:
        """A, B of the first layer, of the second and so on."""
        return [side[self.name].weight for layer in self.layers for side in (layer.lora_A, layer.lora_B)]

    def fetch(self) -> "_Weights":
        """The frozen weights, also where ``align.offload`` keeps them away between forwards."""
        norms, wide = ([_fetch(module) for module in modules] for modules in (self.norms, self.wide))
        scales = [layer.scaling[self.name] for layer in self.layers]
        return _Weights(norms, [_fetch(layer.get_base_layer()) for layer in self.layers], wide, scales, self)


@dataclass(frozen=True)
class _Weights:
    """What the arithmetic of one call needs besides data and adapters."""

    norms: list[Frozen]
    layers: list[Frozen]
    wide: list[Frozen]
    scales: list[float]
    """Of the adapters."""
    block: _Block


def _fetch(module: nn.Module) -> Frozen:
    hook = vars(module).get("_hf_hook")
    if hook is not None:
        hook.pre_forward(module)
    found = module._parameters["weight"], module._parameters.get("bias")
    if hook is not None:
        hook.post_forward(module, None)
    return found  # type: ignore[return-value]


def fuse_blocks(denoiser: nn.Module) -> int:
    """Give every block that is of the kind described above its fused forward.

    Returns:
        How many there are.
    """
    if _ATTEND is None or _ATTEND_BACK is None:
        return 0
    from diffusers.models.attention import BasicTransformerBlock

    found = [(one, _read(one)) for one in denoiser.modules() if type(one) is BasicTransformerBlock]
    for module, block in found:
        if block is not None and "forward" not in vars(module):
            module.forward = partial(_forward, module, block)
    return sum(block is not None for _, block in found)


def _read(block: Any) -> _Block | None:  # noqa: ANN401  (diffusers and peft have no types)
    """The parts of ``block``, or None if it is of another kind."""
    plain = block.norm_type == "layer_norm" and block.attn2 is not None and not block.only_cross_attention
    if not plain or block.pos_embed is not None or hasattr(block, "fuser") or block._chunk_size is not None:
        return None
    attentions = (block.attn1, block.attn2)
    if not all(map(_plain_attention, attentions)) or not _plain_feed_forward(block.ff):
        return None
    layers = tuple(layer for one in attentions for layer in (one.to_q, one.to_k, one.to_v, one.to_out[0]))
    if not all(hasattr(layer, "lora_A") and "forward" in vars(layer) for layer in layers):  # not made lean
        return None
    names = {name for layer in layers for name in layer.lora_A}
    norms, forward = (block.norm1, block.norm2, block.norm3), block.ff.net
    if any(type(norm) is not nn.LayerNorm or norm.weight is None or norm.bias is None for norm in norms):
        return None
    heads = (block.attn1.heads, block.attn2.heads)
    return _Block(norms, layers, (forward[0].proj, forward[2]), names.pop(), heads) if len(names) == 1 else None


def _plain_attention(attention: Any) -> bool:  # noqa: ANN401
    from diffusers.models.attention_processor import AttnProcessor2_0

    unset = ("group_norm", "spatial_norm", "norm_q", "norm_k", "norm_cross")
    return (
        type(attention.processor) is AttnProcessor2_0
        and not any(getattr(attention, name, None) for name in unset)
        and not attention.residual_connection
        and attention.rescale_output_factor == 1
        and not _drops(attention.to_out[1])
    )


def _plain_feed_forward(forward: Any) -> bool:  # noqa: ANN401
    from diffusers.models.activations import GEGLU

    if len(forward.net) != 3 or type(forward.net[0]) is not GEGLU or _drops(forward.net[1]):
        return False
    linears = (forward.net[0].proj, forward.net[2])
    return all(type(one) is nn.Linear and not one.weight.requires_grad for one in linears)


def _drops(module: nn.Module) -> bool:
    return not isinstance(module, nn.Dropout) or module.p > 0


def _forward(
    module: Any,  # noqa: ANN401
    block: _Block,
    hidden_states: Tensor,
    attention_mask: Tensor | None = None,
    encoder_hidden_states: Tensor | None = None,
    encoder_attention_mask: Tensor | None = None,
    timestep: Tensor | None = None,
    *more: Any,  # noqa: ANN401
    **named: Any,  # noqa: ANN401
) -> Tensor:
    """Forward of a block that ``fuse_blocks`` changed; ``timestep`` is of no use to its kind."""
    x, text = hidden_states, encoder_hidden_states
    special = (attention_mask, encoder_attention_mask, *more, *named.values())
    if text is None or any(value is not None for value in special) or not _fits(block, x, text):
        masks = (attention_mask, text, encoder_attention_mask)
        whole: Tensor = type(module).forward(module, x, *masks, timestep, *more, **named)
        return whole
    weights = block.fetch()
    if any(layer.disable_adapters for layer in block.layers):
        return _run(weights, x, text, None)[0]
    adapters = block.adapters()
    if not torch.is_grad_enabled():
        return _run(weights, x, text, adapters)[0]
    found: Tensor = _Fused.apply(weights, x, text, *adapters)  # type: ignore[no-untyped-call]
    return found


def _fits(block: _Block, x: Tensor, text: Tensor) -> bool:
    """Whether this call is one that the fused forward can take."""
    first = block.layers[0]
    return (
        x.device.type == "cpu"
        and x.dtype == text.dtype == first.get_base_layer().weight.dtype == torch.float32
        and x.ndim == text.ndim == 3
        and not text.requires_grad
        and not torch.is_autocast_enabled("cpu")
        and not first.merged_adapters
        and first.active_adapters == [block.name]
    )


def _run(weights: _Weights, x: Tensor, text: Tensor, adapters: Sequence[Tensor] | None) -> tuple[Tensor, Kept]:
    """The block's output (B, N, C), and what its backward needs; without ``adapters`` that of its base."""
    first, *seen1 = _norm(weights, 0, x)
    attended, kept1 = _attend(weights, 0, first, first, adapters)
    x1 = attended.view_as(x).add_(x)
    second, *seen2 = _norm(weights, 1, x1)
    attended, kept2 = _attend(weights, 1, second, text, adapters)
    x2 = attended.view_as(x).add_(x1)
    third, *seen3 = _norm(weights, 2, x2)
    value, gate = (linear(third.flatten(0, 1), *half) for half in _halves(weights))
    bent = functional.gelu(gate)
    y = linear(value * bent, *weights.wide[1]).view_as(x).add_(x2)
    return y, (x, *seen1, *kept1, x1, *seen2, *kept2, x2, *seen3, value, gate, bent)


def _halves(weights: _Weights) -> list[Frozen]:
    """W1 in its halves for a and for g; their products are quicker one by one, for then an outcome fits the cache."""
    weight, bias = weights.wide[0]
    biases = (None, None) if bias is None else bias.chunk(2)
    return list(zip(weight.chunk(2), biases, strict=True))


def _norm(weights: _Weights, which: int, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    norm = weights.block.norms[which]
    return torch.native_layer_norm(x, norm.normalized_shape, *weights.norms[which], norm.eps)


def _norm_back(weights: _Weights, which: int, gradient: Tensor, x: Tensor, mean: Tensor, rstd: Tensor) -> Tensor:
    shape, wanted = weights.block.norms[which].normalized_shape, [True, False, False]
    found: Tensor = torch.ops.aten.native_layer_norm_backward.default(
        gradient.view_as(x), x, shape, mean, rstd, *weights.norms[which], wanted
    )[0]
    return found


def _attend(
    weights: _Weights, which: int, x: Tensor, other: Tensor, adapters: Sequence[Tensor] | None
) -> tuple[Tensor, Kept]:
    """One attention of ``x`` (B, N, C) to ``other`` (B, T, .), (B*N, C), and what its backward needs of it.

    That is: queries, keys, values (B, heads, ., d), their outcome and its logarithms, and A(x) of the projections.
    """
    flat, heads, at = x.flatten(0, 1), weights.block.heads[which], 4 * which
    if other is x:
        (query, key, value), inner = _project(weights, range(at, at + 3), flat, adapters)
        others = inner[:0]
    else:
        (query,), inner = _project(weights, range(at, at + 1), flat, adapters)
        (key, value), others = _project(weights, range(at + 1, at + 3), other.flatten(0, 1), adapters)
    query, key, value = (_split(part, len(x), heads) for part in (query, key, value))
    mixed, logs = _ATTEND.default(query, key, value)  # type: ignore[union-attr]
    (found,), last = _project(weights, range(at + 3, at + 4), _merge(mixed), adapters)
    return found, (query, key, value, mixed, logs, inner, others, last)


def _split(flat: Tensor, batch: int, heads: int) -> Tensor:
    """(B*N, C) as (B, heads, N, d)."""
    return flat.view(batch, -1, heads, flat.shape[1] // heads).transpose(1, 2)


def _merge(parts: Tensor) -> Tensor:
    """(B, heads, N, d) as (B*N, C)."""
    return parts.transpose(1, 2).reshape(-1, parts.shape[1] * parts.shape[3])


def _project(
    weights: _Weights, which: range, flat: Tensor, adapters: Sequence[Tensor] | None
) -> tuple[list[Tensor], Tensor]:
    """What layers that share the input ``flat`` (rows, I) give, each (rows, O), and A(x) of all (rows, ranks)."""
    found = [linear(flat, *weights.layers[one]) for one in which]
    if adapters is None:
        return found, flat[:, :0]
    ups = [adapters[2 * one + 1] for one in which]
    inner = flat @ torch.cat([adapters[2 * one] for one in which]).t()
    parts = inner.split([up.shape[1] for up in ups], dim=1)  # type: ignore[no-untyped-call]
    for one, out, part, up in zip(which, found, parts, ups, strict=True):
        out.addmm_(part, up.t(), alpha=weights.scales[one])
    return found, inner


def _project_back(
    weights: _Weights, which: range, gradients: Sequence[Tensor], flat: Tensor, inner: Tensor,
    adapters: Sequence[Tensor],
) -> tuple[Tensor, list[Tensor]]:  # fmt: skip
    """From the layers' gradients g (rows, O): g B of all (rows, ranks), and the gradients of A and B in turn."""
    ups, scales = [adapters[2 * one + 1] for one in which], [weights.scales[one] for one in which]
    # Products with a side of a few numbers go the way in which BLAS reads few long rows, not many short ones.
    behind = [(one @ up.t().contiguous().t()).mul_(s) for one, up, s in zip(gradients, ups, scales, strict=True)]
    joined, ranks = torch.cat(behind, dim=1), [up.shape[1] for up in ups]
    low = (joined.t() @ flat).split(ranks)  # type: ignore[no-untyped-call]
    parts = zip(inner.split(ranks, dim=1), gradients, scales, strict=True)  # type: ignore[no-untyped-call]
    high = [(part.t() @ one).mul_(s).t().contiguous() for part, one, s in parts]
    return joined, [value for both in zip(low, high, strict=True) for value in both]


def _through(
    weights: _Weights, which: range, gradients: Sequence[Tensor], joined: Tensor, adapters: Sequence[Tensor]
) -> Tensor:
    """Gradient of the layers' shared input (rows, I) from theirs (rows, O) and from g B of ``_project_back``."""
    first, *rest = (back(g, weights.layers[one][0]) for one, g in zip(which, gradients, strict=True))
    for one in rest:
        first.add_(one)
    return first.addmm_(joined, torch.cat([adapters[2 * one] for one in which]))


def _attend_back(
    weights: _Weights, which: int, gradient: Tensor, x: Tensor, other: Tensor, kept: Kept, adapters: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """Gradients of ``x`` (B*N, C) and of the attention's adapters from that of its outcome (B*N, C)."""
    query, key, value, mixed, logs, inner, others, last = kept
    heads, at, flat = weights.block.heads[which], 4 * which, x.flatten(0, 1)
    final = range(at + 3, at + 4)
    joined, for_last = _project_back(weights, final, [gradient], _merge(mixed), last, adapters)
    outer = _split(_through(weights, final, [gradient], joined, adapters), len(x), heads)
    ours = [_merge(part) for part in _ATTEND_BACK.default(outer, query, key, value, mixed, logs, 0.0, False)]  # type: ignore[union-attr]
    same = range(at, at + 3) if other is x else range(at, at + 1)
    joined, rest = _project_back(weights, same, ours[: len(same)], flat, inner, adapters)
    if other is not x:
        text = other.flatten(0, 1)
        rest += _project_back(weights, range(at + 1, at + 3), ours[1:], text, others, adapters)[1]
    return _through(weights, same, ours[: len(same)], joined, adapters), rest + for_last


class _Fused(torch.autograd.Function):
    """A block with its adapters, without gradient for frozen weights and text."""

    @staticmethod
    def forward(ctx: Any, weights: _Weights, x: Tensor, text: Tensor, *adapters: Tensor) -> Tensor:  # noqa: ANN401
        y, kept = _run(weights, x, text, adapters)
        ctx.save_for_backward(text, *kept, *adapters)
        ctx.weights = weights
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        weights, saved = ctx.weights, ctx.saved_tensors
        text, kept, adapters = saved[0], saved[1:-16], saved[-16:]
        (x, *seen1), kept1, (x1, *seen2), kept2 = kept[:3], kept[3:11], kept[11:14], kept[14:22]
        x2, *seen3 = kept[22:25]
        whole = gradients[0].contiguous()
        into = _feed_forward_back(weights, whole.flatten(0, 1), *kept[25:])
        total = _norm_back(weights, 2, into, x2, *seen3).add_(whole)
        second = _norm(weights, 1, x1)[0]
        own, rest2 = _attend_back(weights, 1, total.flatten(0, 1), second, text, kept2, adapters)
        total = _norm_back(weights, 1, own, x1, *seen2).add_(total)
        first = _norm(weights, 0, x)[0]
        own, rest1 = _attend_back(weights, 0, total.flatten(0, 1), first, first, kept1, adapters)
        if ctx.needs_input_grad[1]:
            total = _norm_back(weights, 0, own, x, *seen1).add_(total)
        return None, total, None, *rest1, *rest2


def _feed_forward_back(weights: _Weights, gradient: Tensor, value: Tensor, gate: Tensor, bent: Tensor) -> Tensor:
    """Gradient of the feed-forward's input (rows, C) from that of its output, a, g and gelu(g) (rows, H)."""
    (first, _), (second, _) = _halves(weights)
    through = back(gradient, weights.wide[1][0])
    for_value = through * bent
    for_gate = torch.ops.aten.gelu_backward.default(through.mul_(value), gate)
    return back(for_value, first).add_(back(for_gate, second))
