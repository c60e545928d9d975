"""Qwen-Image."""

from asap.backbones.family import Family

__all__ = ["FAMILY"]

FAMILY = Family(
    name="qwen_image",
    pipelines=("QwenImagePipeline",),
    hubs=("Qwen/Qwen-Image", "Qwen/Qwen-Image-2512"),
)
