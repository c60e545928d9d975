"""Loading Qwen-Image from a pipeline folder."""

from pathlib import Path

from diffusers import QwenImagePipeline

from asap.backbones.family import LoadOptions
from asap.backbones.pipeline import open_pipeline
from asap.backbones.qwen_image.backbone import QwenImageBackbone

__all__ = ["load"]


def load(folder: Path, name: str, options: LoadOptions) -> QwenImageBackbone:
    """The backbone of a ``QwenImagePipeline`` folder; raises ``StoreError`` if it cannot be read."""
    return QwenImageBackbone(open_pipeline(QwenImagePipeline, folder, options), name, options)
