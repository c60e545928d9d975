"""Every setting of a training run: flags of ``asap train``, keys of its YAML files, and keywords of ``run.train``.

Sections are nested in YAML and flat on the command line and in ``train``: names are unique. No torch is imported here,
so that ``--help`` is quick; ``run.prepare`` turns the sections into what the rooms take.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal

from asap.core.errors import ConfigError
from asap.core.settings import (
    Natural,
    NonNegative,
    Positive,
    PositiveFloat,
    Range,
    build,
    nested,
)
from asap.workflows.runtime.loading import Loading

__all__ = [
    "DataConfig",
    "LossConfig",
    "NoiseConfig",
    "OptimConfig",
    "RuntimeConfig",
    "TrainConfig",
    "ValidationConfig",
    "configure",
]

LORA_RANK: Final = 16
LORA_LR: Final = 1e-4
"""The usual learning rate of adapters."""
FULL_LR: Final = 8e-6
"""The learning rate at which full training kept the model intact."""


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The objective; options that are not given have the default of the method."""

    alpha: NonNegative | None = None
    """Extra weight of the error inside the mask."""
    target_margin: PositiveFloat | None = None
    """Target of delta for asap, asap_hinge and margin_dpo: as a share of the reference's error, 0.05 by default; in
    units of error under the scales none and area, 0.01 by default."""
    beta: PositiveFloat | None = None
    """Slope of the logistic losses; 1 / beta is their unit of error. The margin of ipo is 1 / (2 beta)."""
    normalize: bool = True
    """Divide margin losses by the square of the margin, so that the loss starts at 1."""
    scale: Literal["auto", "none", "area", "reference"] = "auto"
    """What delta is divided by: nothing, the area of the mask, or the reference's error at the same noise and
    timestep. auto is reference for asap, asap_hinge and margin_dpo, and none for other methods."""
    typical_share: Annotated[float, Range(above=0, most=1)] = 0.05
    """Masked share of the image at which the scale area is 1."""
    anchor: NonNegative = 0.0
    """Weight of a penalty on increases of the chosen image's error; 4 limits the increase to an eighth of the
    margin."""
    sft: NonNegative = 0.0
    """Weight of the chosen image's error as an additional loss, in units of the margin."""


@dataclass(frozen=True, kw_only=True)
class NoiseConfig:
    """Noise and timesteps at which the error of a pair is measured."""

    noise_samples: Positive = 1
    """Samples of noise and timestep per pair and step, averaged."""
    fixed_noise_samples: Natural = 0
    """Size of a fixed set of noise samples per pair, which are reused; 0 draws new samples at every step."""
    timestep_sampling: Literal["path", "uniform", "logit_normal"] = "path"
    """Distribution of timesteps; path is the model family's own."""
    timestep_mean: float = 0.0
    """Mean of the normal under logit_normal."""
    timestep_std: PositiveFloat = 1.0
    """Standard deviation of the normal under logit_normal."""
    timestep_shift: PositiveFloat = 1.0
    """Resolution shift of timesteps (arXiv:2403.03206); above 1 favours noise."""
    timestep_range: tuple[float, float] = (0.0, 1.0)
    """Timesteps outside it are not sampled; 0 is the image, 1 is noise."""
    stratified: bool = False
    """Spread the timesteps of a step evenly over the distribution."""

    def faults(self) -> list[str]:
        """What the settings contradict."""
        low, high = self.timestep_range
        checks = {
            f"timestep_range must be 0 <= low < high <= 1, got {self.timestep_range}": 0 <= low < high <= 1,
            f"fixed_noise_samples must be 0 or at least noise_samples ({self.noise_samples}), got "
            f"{self.fixed_noise_samples}": self.fixed_noise_samples == 0
            or self.fixed_noise_samples >= self.noise_samples,
            "stratified and timestep_shift need timestep_sampling uniform or logit_normal": self.timestep_sampling
            != "path"
            or not (self.stratified or self.timestep_shift != 1),
        }
        return [fault for fault, valid in checks.items() if not valid]


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Steps and optimizer."""

    steps: Positive = 150
    """Optimizer steps."""
    batch_size: Positive = 12
    """Pairs per process and forward pass; lower it when memory is short."""
    global_batch: Positive | None = None
    """Pairs per optimizer step over all processes, by gradient accumulation; by default gradients are not
    accumulated."""
    lr: PositiveFloat | None = None
    """Learning rate; by default 1e-4 for an adapter and 8e-6 for all weights."""
    warmup: Natural = 0
    """Steps over which the learning rate rises linearly."""
    optimizer: Literal["adamw", "adamw8bit", "adamw8bit_ao"] = "adamw"
    """AdamW with moments in float32, or in 8 bits by bitsandbytes or torchao."""
    weight_decay: NonNegative = 0.0
    """Decoupled weight decay."""
    max_grad_norm: NonNegative = 0.0
    """Norm to which gradients are clipped; 0 disables clipping, because margin losses start with a large gradient."""
    ema: Annotated[float, Range(least=0, below=1)] = 0.0
    """Decay of an exponential moving average of the weights; the average is saved instead of the weights. 0 disables
    it."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which pairs are used, and how their images are cropped and cached."""

    kinds: tuple[Literal["defect", "null_pose", "null_equal"], ...] = ("defect",)
    """Kinds of pairs to learn from."""
    buckets: bool = False
    """Crop images to the nearest of several aspect ratios instead of a square."""
    window: Annotated[float, Range(above=0, most=1)] = 1.0
    """Train on a crop around the mask with at least this share of the image's sides; 1 uses the whole image. A crop
    approximates the gradient."""
    cache: Path | None = None
    """Folder of encoded pairs; PAIRS.latents by default."""
    cache_limit: PositiveFloat | None = None
    """Maximum size of the cache in gigabytes; the least recently used entries are deleted first."""

    def faults(self) -> list[str]:
        """What the settings contradict."""
        return [] if self.kinds else ["kinds must name at least one of defect, null_pose, null_equal"]


@dataclass(frozen=True, kw_only=True)
class RuntimeConfig(Loading):
    """Device, dtype and memory."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Precision of forward passes; trained weights, errors and losses are float32. auto is bf16 where it is faster."""
    checkpointing: bool = False
    """Gradient checkpointing: compute activations again in the backward pass instead of keeping them."""
    gradient: Literal["one_pass", "two_pass"] = "one_pass"
    """two_pass processes chosen and rejected image one after the other, which needs less memory; the gradient is the
    same."""
    skip_satisfied: bool = False
    """Skip the backward pass of pairs whose gradient is exactly zero, which happens with asap_hinge."""
    reuse_reference: bool = False
    """Keep the errors of the reference on disk, for later runs with the same pairs and noise samples."""
    quantization: Literal["nf4", "int8", "ao_int8", "ao_fp8"] | None = None
    """Quantize the frozen weights of the denoiser, by bitsandbytes or torchao (ao_)."""
    offload: Literal["none", "parts", "blocks"] = "none"
    """Keep modules in main memory until they are needed: autoencoder and text encoders (parts), and also the frozen
    blocks of the denoiser (blocks)."""


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """Checkpoints, validation and early stopping; they do not change the training steps."""

    checkpoint_every: Positive = 50
    """Steps between checkpoints."""
    snapshots: tuple[Positive, ...] = ()
    """Steps after which the weights are also saved in snapshots/."""
    track: tuple[Literal["tensorboard", "trackio", "wandb"], ...] = ()
    """Trackers that show the curves and images of the run."""
    validate_every: Natural = 0
    """Steps between validations on the split val; 0 for none. The best weights are saved in best/."""
    held_out: Natural = 64
    """Pairs per validation."""
    held_out_samples: Positive = 4
    """Samples of noise and timestep per validation pair."""
    validation_images: Natural = 4
    """Images to generate at each validation."""
    validation_steps: Positive | None = None
    """Sampler steps for the validation images; the model's default if not given."""
    prompts: tuple[str, ...] = ()
    """Prompts for the validation images; by default the first captions of the pairs."""
    stop_on_rise: PositiveFloat | None = None
    """Stop when the error of chosen images, smoothed over 20 steps, exceeds the reference's by this fraction (0.05 is
    5 %)."""
    stop_on_drift: PositiveFloat | None = None
    """Stop when the norm of the prediction, smoothed over 20 steps, differs from the reference's by this fraction
    (0.05 is 5 %)."""
    stop_on_texture: Annotated[float, Range(above=1)] | None = None
    """Stop when high_frequency or grid of the validation images is this many times that of the base model."""

    def faults(self) -> list[str]:
        """What the settings contradict."""
        blind = self.stop_on_texture is not None and not (self.validate_every and self.validation_images)
        return ["stop_on_texture needs images; set validate_every and validation_images"] if blind else []


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training run."""

    pairs: Path
    """Folder of the pair store to learn from."""
    out: Path
    """Folder of the run."""
    model: str = "mini"
    """Known name, pipeline folder or Hub id."""
    method: str = "asap"
    """Objective: asap, asap_hinge, dpo, ipo, sft, localized_dpo or margin_dpo."""
    full: bool = False
    """Train all weights of the denoiser instead of an adapter."""
    lora_rank: Positive | None = None
    """Rank of the adapter, and the numerator of its scaling; 16 by default."""
    adapter: Literal["lora", "dora"] = "lora"
    """Kind of adapter."""
    seed: Natural = 0
    """Seed of the order of pairs, of noise, timesteps and the adapter."""
    resume: bool = True
    """Continue a stopped run in the folder; otherwise start it over."""
    loss: LossConfig = field(default_factory=LossConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    data: DataConfig = field(default_factory=DataConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)

    @property
    def rank(self) -> int | None:
        """Rank of the adapter; None trains all weights."""
        return None if self.full else self.lora_rank or LORA_RANK

    @property
    def lr(self) -> float:
        """The learning rate, or its default."""
        return self.optim.lr or (FULL_LR if self.full else LORA_LR)

    def faults(self) -> list[str]:
        """What the settings contradict."""
        both = self.full and self.lora_rank is not None
        return ["full trains all weights and lora_rank sets an adapter; leave one of them out"] if both else []

    def grad_accum(self, processes: int) -> int:
        """Forward passes per optimizer step and process.

        Raises:
            ConfigError: the global batch is no multiple of the pairs that the processes take at a time.
        """
        at_once = self.optim.batch_size * processes
        count, rest = divmod(self.optim.global_batch or at_once, at_once)
        if rest or not count:
            raise ConfigError(
                f"global_batch must be a multiple of batch_size x processes = {at_once}, got {self.optim.global_batch}"
            )
        return count


def configure(settings: Mapping[str, object]) -> TrainConfig:
    """The configuration of a run from settings by name, without sections; None takes the default.

    Raises:
        ConfigError: unknown names (with the nearest known one), absent ones, values of another type or out of range;
            all of them in one message.
    """
    return build(TrainConfig, nested(TrainConfig, settings))
