"""The embedded text-to-image model: small enough to train and to sample on two cores, a real diffusers pipeline."""

from asap.backbones.family import Family

__all__ = ["FAMILY"]

FAMILY = Family(
    name="mini",
    pipelines=("StableDiffusionPipeline",),
    parts={"vae": ("AutoencoderTiny",)},
    comfyui="kohya",
)
