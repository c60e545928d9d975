"""The one home of time and sign: t = 0 is data, t = 1 is noise, and x_t = a(t) * x + s(t) * noise.

Every other file says ``t`` in [0, 1] and asks a path for the mixture, the target and the network's own clock, so no
sign or scale is decided twice. Predictions are named for what the network gives:

    flow    noise - x               dx_t/dt of the straight path a = 1 - t, s = t (x - noise if backward)
    eps     noise
    v       a * noise - s * x       a**2 + s**2 = 1 (variance preserving)
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import torch
from torch import Tensor

from asap.core.errors import InputError

__all__ = [
    "FlowPath",
    "NoisePath",
    "VariancePreservingPath",
    "flow_shift",
    "path_of_schedule",
    "scaled_linear_alphas",
    "zero_terminal_alphas",
]

PREDICTIONS: Final = {"epsilon": "eps", "v_prediction": "v"}
"""What diffusers calls them, and we."""


class NoisePath(Protocol):
    """How data turns into noise, and what the network says about it. Shapes: x, noise (B, ...); t (B,) in [0, 1]."""

    @property
    def name(self) -> str:
        """Word for manifests."""
        ...

    def sample_time(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw training times (B,), float32 in [0, 1]."""
        ...

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Signal a(t) and noise s(t), each (B,)."""
        ...

    def model_time(self, t: Tensor) -> Tensor:
        """The network's own clock at t, (B,)."""
        ...

    def mix(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t = a(t) * x + s(t) * noise."""
        ...

    def target(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What a perfect network predicts at x_t."""
        ...

    def to_data(self, x_t: Tensor, prediction: Tensor, t: Tensor) -> Tensor:
        """The x that a prediction at x_t stands for."""
        ...

    def to_noise(self, x_t: Tensor, prediction: Tensor, t: Tensor) -> Tensor:
        """The noise that a prediction at x_t stands for."""
        ...


def _spread(values: Tensor, like: Tensor) -> Tensor:
    """(B,) as (B, 1, 1, ...) in the type of ``like``."""
    return values.to(like.dtype).reshape(-1, *([1] * (like.ndim - 1)))


@dataclass(frozen=True)
class FlowPath:
    """The straight path of rectified flow (arXiv:2209.03003), times logit-normal as in arXiv:2403.03206, section 3.1.

    ``location`` and ``scale`` are those of the normal under the logistic; ``shift`` s then moves a time t to
    s * t / (1 + (s - 1) * t), towards the noise, as the samplers of large images do (the same paper, "resolution-
    dependent shifting"): an addition of ln(s) under the logistic. It says which times, not what they mean: mixture,
    target and clock know of none. ``clock`` is the network's time at t = 1. A ``backward`` network, Z-Image's, has its
    ``clock`` at t = 0 and 0 at t = 1, and predicts x - noise.
    """

    location: float = 0.0
    scale: float = 1.0
    clock: float = 1000.0
    shift: float = 1.0
    name: str = "flow"
    backward: bool = False

    def __post_init__(self) -> None:
        """Refuse a shift that orders no times; raises ``InputError``."""
        if not self.shift > 0:
            raise InputError(f"the shift of a flow path must be above 0, got {self.shift}")

    def sample_time(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        """Shifted logit-normal times (B,), float32 inside (0, 1)."""
        normal = torch.randn(batch, generator=generator, dtype=torch.float32)
        return torch.sigmoid(self.location + math.log(self.shift) + self.scale * normal)

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(1 - t, t)."""
        return 1.0 - t, t

    def model_time(self, t: Tensor) -> Tensor:
        """``clock`` * t, or ``clock`` * (1 - t) for a backward network; real, not rounded."""
        return (1.0 - t if self.backward else t) * self.clock

    def mix(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """(1 - t) * x + t * noise."""
        a, s = self.coefficients(t)
        return _spread(a, x) * x + _spread(s, x) * noise

    def target(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Noise - x, or x - noise for a backward network, at every t."""
        del t
        return x - noise if self.backward else noise - x

    def to_data(self, x_t: Tensor, prediction: Tensor, t: Tensor) -> Tensor:
        """X = x_t - t * (noise - x)."""
        return x_t - _spread(t, x_t) * self._slope(prediction)

    def to_noise(self, x_t: Tensor, prediction: Tensor, t: Tensor) -> Tensor:
        """Noise = x_t + (1 - t) * (noise - x)."""
        return x_t + _spread(1.0 - t, x_t) * self._slope(prediction)

    def _slope(self, prediction: Tensor) -> Tensor:
        """The noise - x that a prediction says."""
        return -prediction if self.backward else prediction


def flow_shift(scheduler: Mapping[str, Any], tokens: int) -> float:
    """The shift that a pipeline gives its times, from the settings of its flow scheduler.

    With ``use_dynamic_shifting`` a number mu is linear in the image's tokens, through ``base_shift`` at
    ``base_image_seq_len`` and ``max_shift`` at ``max_image_seq_len``, and the shift is e**mu (mu itself where
    ``time_shift_type`` is "linear"): 3.16 for 1024 x 1024 in FLUX.1. Otherwise it is the settings' ``shift``, which
    ``DPMSolverMultistepScheduler`` calls ``flow_shift``.

    Args:
        scheduler: the settings; what is missing is as in diffusers.
        tokens: tokens of the image in the transformer.
    """
    if not scheduler.get("use_dynamic_shifting"):
        return float(scheduler.get("flow_shift", scheduler.get("shift", 1.0)))
    low, high = scheduler.get("base_image_seq_len", 256), scheduler.get("max_image_seq_len", 4096)
    base, top = scheduler.get("base_shift", 0.5), scheduler.get("max_shift", 1.15)
    mu = float(base + (top - base) * (tokens - low) / (high - low))
    return mu if scheduler.get("time_shift_type") == "linear" else math.exp(mu)


def scaled_linear_alphas(steps: int = 1000, start: float = 0.00085, end: float = 0.012) -> tuple[float, ...]:
    """Cumulative alphas of the "scaled linear" schedule, whose square roots of beta are evenly spaced."""
    betas = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2
    return tuple(torch.cumprod(1.0 - betas, dim=0).tolist())


@dataclass(frozen=True)
class VariancePreservingPath:
    """A discrete schedule with a**2 + s**2 = 1; step i of T sits at t = (i + 1) / T, so t = 1 is its noisiest step.

    ``alphas`` are the T cumulative alphas (a = sqrt(alpha)); ``prediction`` is "eps" or "v".
    """

    alphas: tuple[float, ...]
    prediction: str = "eps"
    name: str = "variance_preserving"

    def __post_init__(self) -> None:
        """Refuse what no schedule is; raises ``InputError``."""
        if self.prediction not in ("eps", "v"):
            raise InputError(f"prediction must be eps or v, got {self.prediction!r}")
        if not self.alphas or min(self.alphas) < 0 or max(self.alphas) > 1:
            raise InputError("a schedule needs cumulative alphas in [0, 1]")

    def sample_time(self, batch: int, generator: torch.Generator | None = None) -> Tensor:
        """Times (B,) uniform over the steps, float32 in (0, 1]."""
        steps = len(self.alphas)
        index = torch.randint(steps, (batch,), generator=generator)
        return (index + 1).to(torch.float32) / steps

    def model_time(self, t: Tensor) -> Tensor:
        """Index of the nearest step, int64 in [0, T)."""
        steps = len(self.alphas)
        return ((t.to(torch.float64) * steps).round() - 1).clamp(0, steps - 1).to(torch.int64)

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(sqrt(alpha), sqrt(1 - alpha)) of the nearest step, float64."""
        table = torch.tensor(self.alphas, dtype=torch.float64, device=t.device)
        alpha = table[self.model_time(t)]
        return alpha.sqrt(), (1.0 - alpha).sqrt()

    def mix(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """A * x + s * noise."""
        a, s = self.coefficients(t)
        return _spread(a, x) * x + _spread(s, x) * noise

    def target(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Noise, or a * noise - s * x for v."""
        if self.prediction == "eps":
            return noise
        a, s = self.coefficients(t)
        return _spread(a, x) * noise - _spread(s, x) * x

    def to_data(self, x_t: Tensor, prediction: Tensor, t: Tensor) -> Tensor:
        """X from eps: (x_t - s * eps) / a; from v: a * x_t - s * v. For eps a must not be 0."""
        a, s = (_spread(c, x_t) for c in self.coefficients(t))
        if self.prediction == "eps":
            return (x_t - s * prediction) / a
        return a * x_t - s * prediction

    def to_noise(self, x_t: Tensor, prediction: Tensor, t: Tensor) -> Tensor:
        """Noise from eps: itself; from v: s * x_t + a * v."""
        if self.prediction == "eps":
            return prediction
        a, s = (_spread(c, x_t) for c in self.coefficients(t))
        return s * x_t + a * prediction


def zero_terminal_alphas(alphas: Sequence[float]) -> tuple[float, ...]:
    """The schedule stretched so that its last step is pure noise (arXiv:2305.08891, algorithm 1).

    sqrt(alpha) is shifted to 0 at the last step and scaled so that the first step stays.
    """
    roots = [math.sqrt(alpha) for alpha in alphas]
    first, last = roots[0], roots[-1]
    return tuple(((root - last) * first / (first - last)) ** 2 for root in roots)


def path_of_schedule(settings: Mapping[str, Any]) -> VariancePreservingPath:
    """The path of a discrete schedule, from a diffusers scheduler's settings, whichever sampler they are for.

    Args:
        settings: ``scheduler_config.json``: beta_schedule or trained_betas, prediction_type, rescale_betas_zero_snr.

    Raises:
        InputError: it predicts neither noise nor v, or has betas of a kind that is not known here.
    """
    prediction = PREDICTIONS.get(str(settings.get("prediction_type", "epsilon")))
    if prediction is None:
        raise InputError(
            f"a schedule that predicts {settings['prediction_type']!r} is not supported, "
            f"only {' and '.join(PREDICTIONS)} are"
        )
    alphas = _alphas(settings)
    if settings.get("rescale_betas_zero_snr"):
        alphas = zero_terminal_alphas(alphas)
    return VariancePreservingPath(alphas, prediction)


def _alphas(settings: Mapping[str, Any]) -> tuple[float, ...]:
    """Cumulative alphas of a scheduler's settings, before any stretching."""
    if settings.get("trained_betas") is not None:
        betas = torch.tensor(settings["trained_betas"], dtype=torch.float64)
        return tuple(torch.cumprod(1.0 - betas, dim=0).tolist())
    kind = settings.get("beta_schedule")
    try:
        steps, start, end = (settings[key] for key in ("num_train_timesteps", "beta_start", "beta_end"))
    except KeyError as error:
        raise InputError(f"a scheduler without {error.args[0]} has no discrete schedule; it is not supported") from None
    if kind == "scaled_linear":
        return scaled_linear_alphas(steps, start, end)
    if kind == "linear":
        betas = torch.linspace(start, end, steps, dtype=torch.float64)
        return tuple(torch.cumprod(1.0 - betas, dim=0).tolist())
    raise InputError(f"a schedule of kind {kind!r} is not supported, only scaled_linear, linear and trained_betas are")
