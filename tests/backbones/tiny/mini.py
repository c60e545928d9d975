"""The embedded model's tiny variant. It has one size, and its autoencoder has no posterior."""

from pathlib import Path
from typing import Any

from torch import Tensor

from asap.backbones.mini.backbone import MiniBackbone, load_tiny

COMMUNITY = set(MiniBackbone.lora_targets)
"""It has no community but us."""
SIZE = (32, 32)
FLOAT32 = True


def build(folder: Path) -> None:
    load_tiny().save_pipeline(folder)


def latents_of(pipeline: Any, images: Tensor) -> Tensor:
    """What the pipeline's own autoencoder makes of images, in the denoiser's scale."""
    latents: Tensor = pipeline.vae.encode(images).latents * pipeline.vae.config.scaling_factor
    return latents
