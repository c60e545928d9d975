"""Loading of the family."""

from pathlib import Path

from asap.backbones.family import LoadOptions
from asap.backbones.pipeline import open_pipeline
from asap.backbones.sd15.backbone import SD15Backbone
from asap.backbones.sd15.targets import LORA_TARGETS

__all__ = ["load"]


def load(folder: Path, name: str, options: LoadOptions) -> SD15Backbone:
    """A pipeline folder without its safety checker, which alignment has no use for and which blanks images.

    Raises:
        StoreError: the folder is incomplete or unreadable.
        InputError: it is an inpainting or distilled model, or its schedule is not known.
    """
    from diffusers import StableDiffusionPipeline

    bare = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    pipeline = open_pipeline(StableDiffusionPipeline, folder, options, **bare)
    return SD15Backbone(pipeline, name, lora_targets=LORA_TARGETS, options=options)
