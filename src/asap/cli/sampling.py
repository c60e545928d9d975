"""The options of every command that generates images: which model and LoRA, which prompts, and how they are sampled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from asap.cli.output import tell
from asap.core.settings import NonNegative, Positive


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Model, prompts and sampler."""

    model: str = "mini"
    """Known name, pipeline folder or Hub id."""
    lora: Path | None = None
    """Folder of a training run or of an adapter; the base model by default."""
    foreign: bool = False
    """Accept a LoRA that asap did not train; results then say that its training data are unknown."""
    suite: str = "haf-mini"
    """Prompts: haf, haf-lite, haf-mini or the path of a suite."""
    steps: Positive | None = None
    """Sampler steps; the model's own number by default."""
    guidance: NonNegative | None = None
    """Guidance scale; the model's own by default."""
    batch_size: Positive = 16
    """Images per forward pass."""
    limit: Positive | None = None
    """Take only this many prompts of each category."""
    height: Positive | None = None
    """Height in pixels; the model's own by default."""
    width: Positive | None = None
    """Width in pixels; the model's own by default."""


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How the model is loaded."""

    device: str = "auto"
    """Device of torch: cpu, cuda, cuda:1; a GPU is used automatically."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Dtype of the weights; float32 on the CPU and bfloat16 elsewhere by default."""
    revision: str | None = None
    """Branch, tag or commit of a Hub model."""
    variant: str | None = None
    """Variant of the weight files, for instance fp16."""
    schedule: Mapping[str, object] = field(default_factory=dict)
    """Scheduler settings that its file has wrong, for instance prediction_type=v_prediction."""


def sampling_arguments(sampling: Sampling, loading: Loading) -> dict[str, Any]:
    """Both sections as the workflows take them, without model and LoRA."""
    from asap.backbones.family import LoadOptions

    return {
        "suite": sampling.suite,
        "steps": sampling.steps,
        "guidance": sampling.guidance,
        "batch": sampling.batch_size,
        "limit": sampling.limit,
        "foreign": sampling.foreign,
        "size": (sampling.height, sampling.width),
        "loading": LoadOptions(
            device=loading.device,
            dtype=loading.dtype,
            revision=loading.revision,
            variant=loading.variant,
            schedule=dict(loading.schedule),
        ),
        "report": tell,
    }
