"""Settings of training: how a run steps, which of the strategies it uses, when it stops."""

from dataclasses import asdict, dataclass
from typing import Final, Literal, get_args

from asap.align.optimizers import OPTIMIZERS, OptimizerName
from asap.align.precision import DTYPES, Precision
from asap.align.strategies import GradientMode
from asap.align.timestep_sampling import TimestepDistribution, TimestepSampling

__all__ = ["TrainSettings"]


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How a run steps; what it optimizes is ``LossSettings``."""

    steps: int
    """Optimizer steps."""
    batch_size: int = 12
    """Pairs per micro-batch and process."""
    grad_accum: int = 1
    """Micro-batches per step."""
    lr: float = 1e-5
    """Learning rate after the warm-up."""
    warmup: int = 0
    """Steps over which the learning rate rises linearly from lr / warmup."""
    weight_decay: float = 0.0
    """Of AdamW, decoupled."""
    max_grad_norm: float = 0.0
    """Gradients are scaled down to this norm; 0 means never. Adam bounds each step by itself, and a norm that suits one
    loss clips every step of another: (delta/tau - 1)^2 starts at norms around 150, which a limit of 1 would hide from
    the optimizer together with the fact that they vanish at the margin."""
    noise_samples: int = 1
    """(noise, timestep) samples per pair, averaged inside delta."""
    fixed_noise_samples: int = 0
    """Size of a fixed set of noise samples per pair, which its visits go through in turn, so that a cached reference
    can be used again; 0: every visit samples anew."""
    timestep_sampling: TimestepDistribution = "path"
    """Distribution of the timesteps, see ``align.timestep_sampling``."""
    timestep_mean: float = 0.0
    """Mean of the normal variable of ``logit_normal``."""
    timestep_std: float = 1.0
    """Its standard deviation."""
    timestep_shift: float = 1.0
    """Resolution shift; above 1 favours noise."""
    stratified: bool = False
    """Spread the timesteps of a step (or of a pair's fixed noise samples) evenly over the distribution."""
    timestep_range: tuple[float, float] = (0.0, 1.0)
    """Timesteps outside are not sampled."""
    seed: int = 0
    """Decides the order of pairs, noise, timesteps and the adapter's start."""
    precision: Precision = "auto"
    """Of the forwards; trained weights, errors and losses stay float32. ``auto`` is bf16 where the device is faster in
    it. fp16 scales its loss."""
    adapter: Literal["lora", "dora"] = "lora"
    """Kind of adapter, unless all weights are trained; those that diffusers loads, see ``align.adapters``."""
    optimizer: OptimizerName = "adamw"
    """See ``align.optimizers``."""
    gradient: GradientMode = "one_pass"
    """``two_pass``: the same gradient with the activations of one image, see ``align.strategies``."""
    skip_satisfied: bool = False
    """Run pairs one by one, without a backward for those whose gradient is exactly zero (a hinge past its margin)."""
    checkpointing: bool = False
    """Keep no activations inside blocks and compute them again in the backward."""
    ema: float = 0.0
    """Decay of a moving average of the trained weights, which is then what is saved; 0 means none."""
    reuse_reference: bool = False
    """Cache the reference's errors on disk, for this and later runs with the same pairs and noise samples."""
    stop_on_rise: float | None = None
    """End early once the chosen side's error, smoothed over 20 steps, is this share above the reference's."""

    @property
    def timesteps(self) -> TimestepSampling:
        """The distribution of the timesteps."""
        return TimestepSampling(
            distribution=self.timestep_sampling,
            mean=self.timestep_mean,
            std=self.timestep_std,
            shift=self.timestep_shift,
            stratified=self.stratified,
            range=self.timestep_range,
        )

    def faults(self) -> list[str]:
        """What is out of range, one message each."""
        modes, adapters = get_args(GradientMode), ("lora", "dora")
        checks = {
            f"steps must be >= 1, got {self.steps}": self.steps >= 1,
            f"batch_size must be >= 1, got {self.batch_size}": self.batch_size >= 1,
            f"grad_accum must be >= 1, got {self.grad_accum}": self.grad_accum >= 1,
            f"lr must be > 0, got {self.lr}": self.lr > 0,
            f"warmup must be >= 0, got {self.warmup}": self.warmup >= 0,
            f"weight_decay must be >= 0, got {self.weight_decay}": self.weight_decay >= 0,
            f"max_grad_norm must be >= 0, got {self.max_grad_norm}": self.max_grad_norm >= 0,
            f"noise_samples must be >= 1, got {self.noise_samples}": self.noise_samples >= 1,
            f"fixed_noise_samples must be 0 or at least noise_samples ({self.noise_samples}), got "
            f"{self.fixed_noise_samples}": self.fixed_noise_samples == 0
            or self.fixed_noise_samples >= self.noise_samples,
            f"precision must be {', '.join(DTYPES)} or auto, got {self.precision!r}": self.precision
            in (*DTYPES, "auto"),
            f"adapter must be {' or '.join(adapters)}, got {self.adapter!r}": self.adapter in adapters,
            f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}": self.optimizer in OPTIMIZERS,
            f"gradient must be {' or '.join(modes)}, got {self.gradient!r}": self.gradient in modes,
            f"stop_on_rise must be > 0, got {self.stop_on_rise}": self.stop_on_rise is None or self.stop_on_rise > 0,
            f"ema must be in [0, 1), got {self.ema}": 0 <= self.ema < 1,
        }
        return [*(message for message, valid in checks.items() if not valid), *self.timesteps.faults()]

    def config(self) -> dict[str, object]:
        """The settings under the keys that manifests and hashes use."""
        values = {STORED_KEYS.get(name, name): value for name, value in asdict(self).items()}
        return {**values, "time_range": list(self.timestep_range)}


STORED_KEYS: Final = {
    "noise_samples": "draws",
    "fixed_noise_samples": "kept_draws",
    "timestep_sampling": "times",
    "timestep_mean": "time_mean",
    "timestep_std": "time_spread",
    "timestep_shift": "time_shift",
    "timestep_range": "time_range",
    "skip_satisfied": "skip",
}
"""Settings that manifests and hashes have under an older name."""
