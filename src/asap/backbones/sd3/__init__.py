"""Stable Diffusion 3 and 3.5: see the README beside this file."""

from pathlib import Path

from asap.backbones.family import Family, LoadOptions
from asap.backbones.protocol import Backbone
from asap.backbones.sd3.original import ORIGINAL

__all__ = ["FAMILY"]


def _load(folder: Path, name: str, options: LoadOptions) -> Backbone:
    from asap.backbones.sd3.load import load

    return load(folder, name, options)


FAMILY = Family(
    name="sd3",
    pipelines=("StableDiffusion3Pipeline",),
    load=_load,
    original=ORIGINAL,
    hubs=(
        "stabilityai/stable-diffusion-3-medium-diffusers",
        "stabilityai/stable-diffusion-3.5-medium",
        "stabilityai/stable-diffusion-3.5-large",
    ),
)
