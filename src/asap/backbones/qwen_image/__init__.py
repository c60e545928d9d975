"""Qwen-Image."""

from pathlib import Path

from asap.backbones.family import Family, LoadOptions
from asap.backbones.protocol import Backbone

__all__ = ["FAMILY"]


def _load(folder: Path, name: str, options: LoadOptions) -> Backbone:
    from asap.backbones.qwen_image.load import load

    return load(folder, name, options)


FAMILY = Family(
    name="qwen_image",
    pipelines=("QwenImagePipeline",),
    load=_load,
    hubs=("Qwen/Qwen-Image", "Qwen/Qwen-Image-2512"),
)
