"""The named methods: each is a shape of the loss, how delta is scaled, and default settings; nothing is hidden.

A method computes, per pair, ``shape(delta / scale)`` plus ``anchor`` and ``sft`` terms in units of the margin. Every
setting of every method can be overridden, so an ablation is a change of one number.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Final, Literal

import torch
from torch import Tensor

from asap.align.loss import (
    anchor_penalty,
    area_scale,
    guard_scale,
    hinge_margin_loss,
    logistic_loss,
    margin,
    scale_gradient,
    squared_margin_loss,
    time_scale,
)
from asap.core.errors import ConfigError
from asap.core.registry import Registry

__all__ = ["METHODS", "LossSettings", "Method", "PairErrors", "numbers", "pair_losses", "resolve", "unit_of"]

Shape = Literal["sft", "logistic", "ipo", "squared", "hinge"]
Scale = Literal["none", "area", "time"]


@dataclass(frozen=True, kw_only=True)
class PairErrors:
    """What a loss may look at, one value a pair (B,), float32, mean over the pair's draws."""

    policy_winner: Tensor
    """E_theta^w, with gradient."""
    reference_winner: Tensor
    """E_ref^w, without."""
    policy_loser: Tensor
    """E_theta^l, with gradient."""
    reference_loser: Tensor
    """E_ref^l, without."""
    mask_share: Tensor
    """Mean of m over the latent, in [0, 1]."""
    alignment: Tensor
    """<g_w, g_l> / |g_w|^2 in the space of predictions, without gradient; see ``loss.guard_scale``."""


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """Every number that the objective depends on."""

    alpha: float = 10.0
    """Extra weight inside the mask, >= 0."""
    tau: float = 0.01
    """Margin asked for, > 0, in units of error."""
    beta: float = 5000.0
    """Slope of the logistic shape, > 0. Its unit of error is 1 / beta."""
    normalize: bool = True
    """Divide margin losses by tau^2. ``asap`` with False is (delta - tau)^2 to the letter; see ``squared_margin_loss``
    for why the constant is there by default."""
    scale: Scale = "none"
    """What delta is divided by."""
    typical_share: float = 0.05
    """Masked share of the latent at which scale "area" is 1, in (0, 1]."""
    typical_error: float = 0.1
    """Reference error at which scale "time" is 1, > 0."""
    anchor: float = 0.0
    """Weight of ``anchor_penalty``, >= 0."""
    sft: float = 0.0
    """Weight of the winner's own error, in units of the margin, >= 0."""
    guard: bool = False
    """Scale the loser's gradient by ``guard_scale``."""
    guard_slack: float = 0.0
    """Share of the winner's own descent that the guard keeps, in [0, 1)."""

    def faults(self) -> list[str]:
        """What is out of range, in words; empty when all is well."""
        checks = {
            f"alpha must be >= 0, got {self.alpha}": self.alpha >= 0,
            f"tau must be > 0, got {self.tau}": self.tau > 0,
            f"beta must be > 0, got {self.beta}": self.beta > 0,
            f"scale must be none, area or time, got {self.scale!r}": self.scale in ("none", "area", "time"),
            f"typical_share must be in (0, 1], got {self.typical_share}": 0 < self.typical_share <= 1,
            f"typical_error must be > 0, got {self.typical_error}": self.typical_error > 0,
            f"anchor must be >= 0, got {self.anchor}": self.anchor >= 0,
            f"sft must be >= 0, got {self.sft}": self.sft >= 0,
            f"guard_slack must be in [0, 1), got {self.guard_slack}": 0 <= self.guard_slack < 1,
        }
        return [text for text, good in checks.items() if not good]


@dataclass(frozen=True, kw_only=True)
class Method:
    """A named objective."""

    name: str
    shape: Shape
    summary: str
    settings: LossSettings = LossSettings()


METHODS: Final[Registry[Method]] = Registry("method")


def _add(name: str, shape: Shape, summary: str, settings: LossSettings | None = None) -> None:
    METHODS.register(name, Method(name=name, shape=shape, summary=summary, settings=settings or LossSettings()))


_add("sft", "sft", "fine-tuning on the winners alone: E_theta^w", LossSettings(alpha=0.0))
_add("dpo", "logistic", "plain Diffusion-DPO: no mask, no bound", LossSettings(alpha=0.0))
# The paper's objective. Shipped as (delta/tau - 1)^2, the paper's (delta - tau)^2 up to the constant 1/tau^2.
_add("asap", "squared", "the paper: mask weight and a margin that is bounded on both sides")
_add("localized_dpo", "logistic", "ablation: mask weight, no bound")
# One thing is taken away and tau stays, though without the mask weight it asks for up to 11 times the gap inside.
_add("margin_dpo", "squared", "ablation: bounded margin, no mask weight", LossSettings(alpha=0.0))
_add("asap_hinge", "hinge", "asap that leaves a pair alone once its margin is reached")
_add("asap_area", "squared", "asap whose margin does not depend on the mask's size", LossSettings(scale="area"))
_add("asap_time", "squared", "asap whose margin is relative to the reference's error at t", LossSettings(scale="time"))
_add("asap_anchor", "squared", "asap that pays for every rise of the winner's error", LossSettings(anchor=4.0))
_add("asap_guard", "squared", "asap whose loser gradient is scaled so that the winner keeps", LossSettings(guard=True))
_add("asap_sft", "squared", "asap plus the winner's own error", LossSettings(sft=1.0))
_add("ipo", "ipo", "bounded DPO without a mask: the margin 1 / (2 beta), in its own words", LossSettings(alpha=0.0))
_add("sdpo", "logistic", "plain DPO with the winner-preserving guard", LossSettings(alpha=0.0, guard=True))
_add(
    "localized_sdpo",
    "logistic",
    "mask weight, no bound, with the winner-preserving guard",
    LossSettings(guard=True),
)


def resolve(method: str, overrides: Mapping[str, object]) -> tuple[Method, LossSettings]:
    """A method and its settings with ``overrides`` applied; a value of None keeps the method's own.

    Raises:
        UnknownNameError: no such method.
        ConfigError: an unknown setting, or values out of range (all of them in one message).
    """
    found = METHODS.get(method)
    given = {key: value for key, value in overrides.items() if value is not None}
    known = {item.name for item in fields(LossSettings)}
    if unknown := sorted(set(given) - known):
        raise ConfigError(f"unknown loss settings {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    settings = replace(found.settings, **given)  # type: ignore[arg-type]
    if faults := settings.faults():
        raise ConfigError.collect(faults)
    return found, settings


def pair_losses(shape: Shape, errors: PairErrors, settings: LossSettings) -> tuple[Tensor, dict[str, Tensor]]:
    """Per-pair losses (B,) and the terms to log, each (B,) without gradient.

    Terms: ``delta``; ``loser_factor``, the guard's factor (1 where it is off); ``scale``, what delta was divided by.
    """
    scale = _scale(errors, settings)
    unit = scale * unit_of(shape, settings)
    if shape == "sft":
        loss = errors.policy_winner
        factor = torch.ones_like(scale)
    else:
        factor = _loser_factor(shape, errors, settings, scale)
        delta = _delta(errors, scale_gradient(errors.policy_loser, factor))
        loss = _shaped(shape, delta / scale, settings)
    if settings.anchor:
        loss = loss + settings.anchor * anchor_penalty(errors.policy_winner, errors.reference_winner, unit)
    if settings.sft:
        loss = loss + settings.sft * (errors.policy_winner - errors.reference_winner) / unit
    terms = {"delta": _delta(errors, errors.policy_loser).detach(), "loser_factor": factor, "scale": scale}
    return loss, terms


def unit_of(shape: Shape, settings: LossSettings) -> float:
    """What delta is measured in: the margin, or where there is none 1 / beta; anchor and sft count in it."""
    return {"logistic": 1 / settings.beta, "ipo": 0.5 / settings.beta}.get(shape, settings.tau)


def numbers(method: Method, settings: LossSettings) -> dict[str, float | str | None]:
    """What decides a loss in the words of papers, for the manifest and for people.

    ``k`` is the slope of the logit in delta (mean reduction over latent elements): beta here, beta_dpo / 2 in
    diffusers' scripts, whose 5000 is our 2500. ``margin`` is the delta asked for, None where nothing bounds it.
    """
    shape = method.shape
    return {
        "method": method.name,
        "shape": shape,
        "alpha": settings.alpha,
        "k": settings.beta if shape == "logistic" else None,
        "margin": None if shape in ("sft", "logistic") else unit_of(shape, settings),
        "normalize": str(settings.normalize).lower(),
        "scale": settings.scale,
        "anchor": settings.anchor,
        "sft": settings.sft,
        "guard": str(settings.guard).lower(),
    }


def _delta(errors: PairErrors, policy_loser: Tensor) -> Tensor:
    return margin(errors.policy_winner, errors.reference_winner, policy_loser, errors.reference_loser)


def _scale(errors: PairErrors, settings: LossSettings) -> Tensor:
    """What delta is divided by, (B,), without gradient."""
    if settings.scale == "area":
        return area_scale(errors.mask_share, settings.typical_share)
    if settings.scale == "time":
        return time_scale(errors.reference_winner, errors.reference_loser, settings.typical_error)
    return torch.ones_like(errors.reference_winner)


def _loser_factor(shape: Shape, errors: PairErrors, settings: LossSettings, scale: Tensor) -> Tensor:
    """The guard's factor on the loser's gradient; 1 past a two-sided margin, where the loss pulls delta back."""
    if not settings.guard:
        return torch.ones_like(scale)
    factor = guard_scale(errors.alignment, settings.guard_slack)
    if shape not in ("squared", "ipo"):
        return factor
    past = _delta(errors, errors.policy_loser).detach() / scale > unit_of(shape, settings)
    return torch.where(past, torch.ones_like(factor), factor)


def _shaped(shape: Shape, delta: Tensor, settings: LossSettings) -> Tensor:
    if shape == "logistic":
        return logistic_loss(delta, settings.beta)
    if shape == "hinge":
        return hinge_margin_loss(delta, settings.tau, normalize=settings.normalize)
    return squared_margin_loss(delta, unit_of(shape, settings), normalize=settings.normalize)
