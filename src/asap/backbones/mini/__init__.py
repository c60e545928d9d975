"""The embedded text-to-image model: small enough to train and to sample on two cores, a real diffusers pipeline."""

from asap.backbones.family import Family
from asap.backbones.mini.backbone import MiniBackbone
from asap.backbones.mini.load import load_family, load_folder, load_mini, load_tiny

__all__ = ["FAMILY", "MiniBackbone", "load_folder", "load_mini", "load_tiny"]

FAMILY = Family(
    name="mini",
    pipelines=("StableDiffusionPipeline",),
    parts={"vae": ("AutoencoderTiny",)},
    load=load_family,
    lora_dots=False,
)
