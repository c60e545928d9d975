"""Loading Z-Image from a pipeline folder."""

from pathlib import Path

from diffusers import ZImagePipeline

from asap.backbones.family import LoadOptions
from asap.backbones.pipeline import open_pipeline
from asap.backbones.zimage.backbone import ZImageBackbone

__all__ = ["load"]


def load(folder: Path, name: str, options: LoadOptions) -> ZImageBackbone:
    """The backbone of a ``ZImagePipeline`` folder; raises ``StoreError`` if it cannot be read."""
    return ZImageBackbone(open_pipeline(ZImagePipeline, folder, options), name, options)
