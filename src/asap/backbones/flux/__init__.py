"""FLUX.1 dev and schnell, and what was fine-tuned from them: see the README beside this file."""

from pathlib import Path

from asap.backbones.family import Family, LoadOptions
from asap.backbones.flux.original import ORIGINAL
from asap.backbones.protocol import Backbone

__all__ = ["FAMILY"]


def _load(folder: Path, name: str, options: LoadOptions) -> Backbone:
    from asap.backbones.flux.load import load

    return load(folder, name, options)


FAMILY = Family(
    name="flux",
    pipelines=("FluxPipeline",),
    load=_load,
    original=ORIGINAL,
    comfy_ends=("lora_down", "lora_up"),
    hubs=("black-forest-labs/FLUX.1-dev", "black-forest-labs/FLUX.1-schnell", "black-forest-labs/FLUX.1-Krea-dev"),
)
