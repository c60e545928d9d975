"""What a training run would take, before it begins: parameters, memory, steps, forwards. Nothing is written."""

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from asap.align.policy import Policy
from asap.backbones import Backbone
from asap.workflows.training.config import TrainConfig
from asap.workflows.training.crops import Crop
from asap.workflows.training.plan import Plan, build_policy
from asap.workflows.training.run import prepare

__all__ = ["activation_bytes", "dry_run"]

GIB: Final = 2**30
PROBE: Final = 16
"""Side of the latents of the forward that activations are counted in."""
PASSES: Final = {"policy": 2, "reference": 2, "backward": 2}
"""Of each kind a pair and draw: winner and loser."""
BACKWARD: Final = 2
"""A backward in forwards."""
ADAM: Final = 2
"""Moments that Adam keeps of each trained weight."""


def dry_run(config: TrainConfig) -> dict[str, object]:
    """An account of the run that ``config`` describes, by name; raises as ``train``, for the same mistakes."""
    plan = prepare(config)
    total = sum(value.numel() for value in _modules(plan.backbone))
    weights = sum(value.numel() * value.element_size() for value in _modules(plan.backbone))
    policy = build_policy(plan)
    trained = sum(value.numel() for value in policy.trainable().values())
    settings, batch = plan.settings, plan.global_batch
    draws = settings.steps * batch * settings.noise_samples
    touched = plan.order().needed(settings.steps)
    seen = _seen(plan, touched)
    return {
        "model": f"{plan.backbone.name}, {total:,} parameters",
        "method": f"{plan.method.name}: {plan.method.summary}",
        "trained": f"{trained:,} parameters, {trained / total:.2%} of the model",
        "pairs": f"{len(plan.positions):,}, of which {len(touched):,} are met and encoded once"
        + (f"; {plan.skipped_summary}" if plan.skipped else ""),
        "steps": f"{settings.steps:,} of {batch} pairs ({settings.batch_size} x {settings.grad_accum} micro-batches x "
        f"{plan.world.size} processes), {settings.steps * batch / len(plan.positions):.1f} passes over the pairs",
        "memory": _memory(plan, policy, weights, trained, touched),
        "forwards": f"{PASSES['policy'] * draws:,} of the policy, {PASSES['reference'] * draws:,} of the reference, "
        f"{PASSES['backward'] * draws:,} backwards: about {_cost(draws, seen):,} forwards of one image"
        + (f", for windows show {seen:.0%} of an image on the mean" if plan.cropper.settings.window < 1 else ""),
    }


def _cost(draws: int, seen: float) -> int:
    """In forwards of a whole image; text, which no window cuts, is not counted apart."""
    return round(draws * seen * (PASSES["policy"] + PASSES["reference"] + BACKWARD * PASSES["backward"]))


def _seen(plan: Plan, touched: Sequence[int]) -> float:
    """Share of their images that the pairs that are met show, on the mean."""
    crops = [plan.crops[index] for index in touched] if plan.crops else []
    shares = [crop.window[2] * crop.window[3] / (crop.size[0] * crop.size[1]) for crop in crops]
    return sum(shares) / len(shares) if shares else 1.0


def _largest(plan: Plan, touched: Sequence[int]) -> tuple[int, int]:
    """Height and width, in latent cells, of the largest that is seen of a pair."""
    if not plan.crops:
        return plan.backbone.latent_shape[1:]
    cells = [_cells(plan, plan.crops[index]) for index in touched]
    return max(cells, key=lambda size: size[0] * size[1])


def _cells(plan: Plan, crop: Crop) -> tuple[int, int]:
    _, height, width = plan.backbone.latent_size(*crop.size)
    return height * crop.window[2] // crop.size[0], width * crop.window[3] // crop.size[1]


def _modules(backbone: Backbone) -> list[Tensor]:
    """Every weight of every part."""
    return [value for network in backbone.networks.values() for value in network.parameters()]


def _memory(plan: Plan, policy: Policy, weights: int, trained: int, touched: Sequence[int]) -> str:
    """An estimate for one process: weights, what training keeps of each trained one, activations of a micro-batch.

    Of the pairs that are met, those that show most decide.
    """
    settings = plan.settings
    copies = 1 + ADAM + (settings.ema > 0) + (plan.rank is None)  # gradient, moments, average, frozen copy
    state = 4 * trained * copies
    together = PASSES["policy"] * settings.noise_samples * (1 if settings.skip_satisfied else settings.batch_size)
    images = 1 if settings.gradient == "two_pass" else together
    size = 4 if settings.precision == "fp32" else 2
    activations = images * size * activation_bytes(plan.backbone, policy, _largest(plan, touched)) // 4
    what = "windows" if plan.cropper.settings.window < 1 else "images"
    parts = {"weights": weights, "gradient and optimizer": state, f"activations of {images} {what}": activations}
    whole = sum(parts.values())
    summary = ", ".join(f"{name} {value / GIB:.2f}" for name, value in parts.items())
    return f"about {whole / GIB:.2f} GiB: {summary}; activations are estimated within a factor of two" + (
        ", and gradient checkpointing keeps a small part of them" if settings.checkpointing else ""
    )


def activation_bytes(backbone: Backbone, policy: Policy, size: tuple[int, int] | None = None) -> int:
    """Bytes in float32 of what the layers of the denoiser give for one image of ``size``, in latent cells.

    ``size`` is height and width; None for the model's resolution.

    They are counted in a forward of a small image and scaled by area, which holds as long as no layer keeps a matrix of
    tokens by tokens; fused attention does not.
    """
    channels, *whole = backbone.latent_shape
    side, (height, width) = min(PROBE, *whole), size or tuple(whole)
    counted = 0

    def count(_module: nn.Module, _given: object, output: object) -> None:
        nonlocal counted
        counted += 4 * output.numel() if isinstance(output, Tensor) else 0

    leaves = [module for module in policy.denoiser.modules() if not list(module.children())]
    handles: list[Any] = [module.register_forward_hook(count) for module in leaves]
    condition = backbone.embed(["a person"])
    device = next(policy.parameters()).device
    try:
        with torch.no_grad():
            policy(torch.zeros(1, channels, side, side, device=device), torch.full((1,), 0.5, device=device), condition)
    finally:
        for handle in handles:
            handle.remove()
    return counted * height * width // side**2
