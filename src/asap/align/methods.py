"""The alignment methods: each is one entry with its loss, its unit of error and its default settings.

To add an objective, write its loss here (or its formula in ``align.loss``) and register it; nothing else changes. The
loss of a pair is

    method.loss(delta / scale, errors, settings) + anchor and sft terms in units of scale * method.unit

Every setting of every method can be overridden, so an ablation is a change of one value.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Final, Literal, get_args

import torch
from torch import Tensor

from asap.align.loss import (
    anchor_penalty,
    area_scale,
    hinge_margin_loss,
    logistic_loss,
    margin,
    reference_scale,
    squared_margin_loss,
)
from asap.core.errors import ConfigError
from asap.core.registry import Registry

__all__ = ["METHODS", "LossSettings", "Method", "PairErrors", "PairLosses", "describe", "pair_losses", "resolve_method"]

Scale = Literal["none", "area", "reference"]
ABSOLUTE_MARGIN: Final = 0.01
"""Default of ``target_margin`` in units of error: the paper's tau."""
RELATIVE_MARGIN: Final = 0.05
"""Default of ``target_margin`` as a share of the reference's error; our choice."""


@dataclass(frozen=True, kw_only=True)
class PairErrors:
    """Inputs of a loss: one value per pair (B,), float64 (float32 on mps), averaged over the pair's noise samples."""

    policy_chosen: Tensor
    """E_theta of the chosen side, with gradient."""
    reference_chosen: Tensor
    """E_ref of the chosen side, without gradient."""
    policy_rejected: Tensor
    """E_theta of the rejected side, with gradient."""
    reference_rejected: Tensor
    """E_ref of the rejected side, without gradient."""
    mask_share: Tensor
    """Mean of m over the latent of the whole image, in [0, 1]."""

    @property
    def delta(self) -> Tensor:
        """How much more the policy improved on the chosen side than on the rejected one."""
        return margin(self.policy_chosen, self.reference_chosen, self.policy_rejected, self.reference_rejected)


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """Every value that the objective depends on."""

    alpha: float = 10.0
    """Extra weight of the error inside the mask, >= 0."""
    target_margin: float = ABSOLUTE_MARGIN
    """tau: the delta / scale that margin losses ask for, > 0: in units of error, or as a share of the reference's error
    under the scale ``reference``."""
    beta: float = 5000.0
    """Slope of the logistic loss, > 0. Its unit of error is 1 / beta."""
    normalize: bool = True
    """Divide margin losses by tau^2. ``asap`` with False is exactly (delta - tau)^2; see ``loss.squared_margin_loss``
    for why the constant is there by default."""
    scale: Scale = "none"
    """What delta is divided by: ``area``, the mask's size (``loss.area_scale``); ``reference``, the reference's error
    at the draws of the pair (``loss.reference_scale``)."""
    typical_share: float = 0.05
    """Masked share of the latent at which the scale ``area`` is 1, in (0, 1]."""
    anchor: float = 0.0
    """Weight of ``loss.anchor_penalty``, >= 0; 4 bounds the rise of the chosen side's error by tau / 8."""
    sft: float = 0.0
    """Weight of the chosen side's own error, in units of the margin, >= 0."""

    def faults(self) -> list[str]:
        """What is out of range, one message each; empty if all is well."""
        scales = get_args(Scale)
        checks = {
            f"alpha must be >= 0, got {self.alpha}": self.alpha >= 0,
            f"target_margin must be > 0, got {self.target_margin}": self.target_margin > 0,
            f"beta must be > 0, got {self.beta}": self.beta > 0,
            f"scale must be one of {', '.join(scales)}, got {self.scale!r}": self.scale in scales,
            f"typical_share must be in (0, 1], got {self.typical_share}": 0 < self.typical_share <= 1,
            f"anchor must be >= 0, got {self.anchor}": self.anchor >= 0,
            f"sft must be >= 0, got {self.sft}": self.sft >= 0,
        }
        return [message for message, valid in checks.items() if not valid]

    def config(self) -> dict[str, object]:
        """The settings under the keys that manifests and hashes use."""
        values = asdict(self)
        values["tau"] = values.pop("target_margin")
        return values


LossFunction = Callable[[Tensor, PairErrors, LossSettings], Tensor]
"""(delta / scale (B,), errors, settings) -> losses (B,)."""
Combine = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(policy's prediction, reference's prediction, both (R, C, h, w); is_chosen (R, 1, 1, 1)) -> (R, C, h, w)."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A named objective."""

    name: str
    summary: str
    loss: LossFunction
    """Loss of each pair; the caller takes the mean over pairs. Its name is stored in manifests."""
    unit: Callable[[LossSettings], float]
    """The error that counts as 1: the margin asked for, or 1 / slope where nothing bounds delta."""
    bounded: bool = True
    """Whether ``unit`` is a margin at which the loss asks for no more."""
    slope: Callable[[LossSettings], float] | None = None
    """Slope of the loss's logit in delta; None: the loss has no logit."""
    combine: Combine | None = None
    """What is compared with the target, of policy and reference; None: the policy's own prediction."""
    settings: LossSettings = LossSettings()
    """Defaults of this method."""

    @property
    def shape(self) -> str:
        """Name of the loss function."""
        return self.loss.__name__


@dataclass(frozen=True, kw_only=True)
class PairLosses:
    """Losses of B pairs and what the log shows of them, each (B,)."""

    loss: Tensor
    """With gradient."""
    delta: Tensor
    """Before scaling, without gradient."""
    scale: Tensor
    """What delta was divided by, without gradient."""


def pair_losses(method: Method, errors: PairErrors, settings: LossSettings) -> PairLosses:
    """Loss of each pair."""
    scale = _scale(errors, settings)
    unit = scale * method.unit(settings)
    loss = method.loss(errors.delta / scale, errors, settings)
    if settings.anchor:
        loss = loss + settings.anchor * anchor_penalty(errors.policy_chosen, errors.reference_chosen, unit)
    if settings.sft:
        loss = loss + settings.sft * (errors.policy_chosen - errors.reference_chosen) / unit
    return PairLosses(loss=loss, delta=errors.delta.detach(), scale=scale)


def _scale(errors: PairErrors, settings: LossSettings) -> Tensor:
    if settings.scale == "area":
        return area_scale(errors.mask_share, settings.typical_share)
    if settings.scale == "reference":
        return reference_scale(errors.reference_chosen, errors.reference_rejected)
    return torch.ones_like(errors.reference_chosen)


def resolve_method(name: str, overrides: Mapping[str, object]) -> tuple[Method, LossSettings]:
    """A method and its settings with ``overrides`` applied; a value of None keeps the method's default.

    ``target_margin`` without a value is 0.05 under the scale ``reference`` and 0.01 under others.

    Raises:
        UnknownNameError: no such method.
        ConfigError: an unknown setting, or values out of range (all of them in one message).
    """
    method = METHODS.get(name)
    given = {key: value for key, value in overrides.items() if value is not None}
    known = {item.name for item in fields(LossSettings)}
    if unknown := sorted(set(given) - known):
        raise ConfigError(f"unknown loss settings {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    if given.get("scale", method.settings.scale) != method.settings.scale:
        relative = given["scale"] == "reference"
        given.setdefault("target_margin", RELATIVE_MARGIN if relative else ABSOLUTE_MARGIN)
    settings = replace(method.settings, **given)  # type: ignore[arg-type]
    if faults := settings.faults():
        raise ConfigError.collect(faults)
    return method, settings


def describe(method: Method, settings: LossSettings) -> dict[str, float | str | None]:
    """What decides a loss in the terms of papers, for the manifest and for people.

    ``k`` is the slope of the logit in delta (mean reduction over latent elements), None where there is no logit: beta
    here, beta_dpo / 2 in diffusers' scripts, whose 5000 is our 2500. ``margin`` is the delta asked for, None where
    nothing bounds it.
    """
    return {
        "method": method.name,
        "shape": method.shape,
        "alpha": settings.alpha,
        "k": method.slope(settings) if method.slope else None,
        "margin": method.unit(settings) if method.bounded else None,
        "normalize": str(settings.normalize).lower(),
        "scale": settings.scale,
        "anchor": settings.anchor,
        "sft": settings.sft,
    }


# --- the methods


def sft(_delta: Tensor, errors: PairErrors, _settings: LossSettings) -> Tensor:
    """The chosen side's own error."""
    return errors.policy_chosen


def logistic(delta: Tensor, _errors: PairErrors, settings: LossSettings) -> Tensor:
    """Diffusion-DPO's loss."""
    return logistic_loss(delta, settings.beta)


def ipo(delta: Tensor, _errors: PairErrors, settings: LossSettings) -> Tensor:
    """The squared loss around IPO's margin 1 / (2 beta)."""
    return squared_margin_loss(delta, 0.5 / settings.beta, normalize=settings.normalize)


def squared(delta: Tensor, _errors: PairErrors, settings: LossSettings) -> Tensor:
    """The paper's loss."""
    return squared_margin_loss(delta, settings.target_margin, normalize=settings.normalize)


def hinge(delta: Tensor, _errors: PairErrors, settings: LossSettings) -> Tensor:
    """One side of the paper's loss: 0 beyond the margin."""
    return hinge_margin_loss(delta, settings.target_margin, normalize=settings.normalize)


def _tau(settings: LossSettings) -> float:
    return settings.target_margin


def _beta(settings: LossSettings) -> float:
    return settings.beta


def _register(method: Method) -> None:
    METHODS.register(method.name, method)


METHODS: Final[Registry[Method]] = Registry("method")
_PLAIN: Final = LossSettings(alpha=0.0)
_RELATIVE: Final = LossSettings(scale="reference", target_margin=RELATIVE_MARGIN)

_register(
    Method(
        name="sft",
        summary="fine-tuning on the chosen sides alone: E_theta of the chosen side",
        loss=sft,
        unit=_tau,
        bounded=False,
        settings=_PLAIN,
    )
)
_register(
    Method(
        name="dpo",
        summary="plain Diffusion-DPO: no mask, no bound",
        loss=logistic,
        unit=lambda settings: 1 / settings.beta,
        bounded=False,
        slope=_beta,
        settings=_PLAIN,
    )
)
# The paper's objective: (delta/tau - 1)^2 is its (delta - tau)^2 up to the constant 1/tau^2. Its tau is absolute:
# ``scale="none"``; docs/experiments/margin.md shows why the margin is relative by default.
_register(
    Method(
        name="asap",
        summary="the paper: mask weight and a margin that is bounded on both sides",
        loss=squared,
        unit=_tau,
        settings=_RELATIVE,
    )
)
_register(
    Method(
        name="localized_dpo",
        summary="ablation: mask weight, no bound",
        loss=logistic,
        unit=lambda settings: 1 / settings.beta,
        bounded=False,
        slope=_beta,
    )
)
# One thing is removed and tau stays, though without the mask weight it asks for up to 11 times the gap inside.
_register(
    Method(
        name="margin_dpo",
        summary="ablation: bounded margin, no mask weight",
        loss=squared,
        unit=_tau,
        settings=replace(_RELATIVE, alpha=0.0),
    )
)
_register(
    Method(
        name="asap_hinge",
        summary="asap without the penalty beyond the margin",
        loss=hinge,
        unit=_tau,
        settings=_RELATIVE,
    )
)
_register(
    Method(
        name="ipo",
        summary="bounded DPO without a mask: its margin is 1 / (2 beta)",
        loss=ipo,
        unit=lambda settings: 0.5 / settings.beta,
        settings=_PLAIN,
    )
)
