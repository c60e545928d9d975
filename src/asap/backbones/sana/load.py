"""Loading Sana and Sana Sprint from a pipeline folder."""

from pathlib import Path

import diffusers

from asap.backbones.family import INDEX, LoadOptions, read_settings
from asap.backbones.pipeline import open_pipeline
from asap.backbones.sana.backbone import SanaBackbone, SprintBackbone

__all__ = ["load"]


def load(folder: Path, name: str, options: LoadOptions) -> SanaBackbone:
    """The backbone of a Sana or Sana Sprint folder; raises ``StoreError`` if it cannot be read."""
    kind = str(read_settings(folder / INDEX)["_class_name"])
    wrap = SprintBackbone if kind == "SanaSprintPipeline" else SanaBackbone
    return wrap(open_pipeline(getattr(diffusers, kind), folder, options), name, options)
