"""Loading of the family."""

from pathlib import Path

from asap.backbones.family import LoadOptions
from asap.backbones.pipeline import open_pipeline
from asap.backbones.sdxl.backbone import SDXLBackbone
from asap.backbones.sdxl.targets import LORA_TARGETS

__all__ = ["load"]


def load(folder: Path, name: str, options: LoadOptions) -> SDXLBackbone:
    """A pipeline folder; no watermark is drawn.

    Raises:
        StoreError: the folder is incomplete or unreadable.
        InputError: it is an inpainting, distilled or refining model, or its schedule is not known.
    """
    from diffusers import StableDiffusionXLPipeline

    pipeline = open_pipeline(StableDiffusionXLPipeline, folder, options, add_watermarker=False)
    return SDXLBackbone(pipeline, name, lora_targets=LORA_TARGETS, options=options)
