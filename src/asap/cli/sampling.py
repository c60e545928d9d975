"""The options of every command that generates images: which model and LoRA, which prompts, and how they are sampled."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asap.cli.output import tell
from asap.core.settings import NonNegative, Positive
from asap.workflows.runtime.loading import Loading


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Model, prompts and sampler."""

    model: str = "mini"
    """Known name, pipeline folder or Hub id."""
    lora: Path | None = None
    """Folder of a training run or of an adapter; if not given, the base model is used."""
    foreign: bool = False
    """Accept a LoRA that asap did not train; results then say that its training data are unknown."""
    suite: str = "haf-mini"
    """Prompts: haf, haf-lite, haf-mini or the path of a suite."""
    steps: Positive | None = None
    """Sampler steps; the model's default if not given."""
    guidance: NonNegative | None = None
    """Guidance scale; the model's default if not given."""
    batch_size: Positive = 16
    """Images per forward pass."""
    limit: Positive | None = None
    """Take only this many prompts of each category."""
    height: Positive | None = None
    """Height in pixels; the model's default if not given."""
    width: Positive | None = None
    """Width in pixels; the model's default if not given."""


def sampling_arguments(sampling: Sampling, loading: Loading) -> dict[str, Any]:
    """Both sections as the workflows take them, without model and LoRA."""
    return {
        "suite": sampling.suite,
        "steps": sampling.steps,
        "guidance": sampling.guidance,
        "batch": sampling.batch_size,
        "limit": sampling.limit,
        "foreign": sampling.foreign,
        "size": (sampling.height, sampling.width),
        "loading": loading.options(),
        "report": tell,
    }
