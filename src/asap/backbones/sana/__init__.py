"""Sana, Sana 1.5 and Sana Sprint."""

from pathlib import Path

from asap.backbones.family import Family, LoadOptions
from asap.backbones.protocol import Backbone

__all__ = ["FAMILY"]


def _load(folder: Path, name: str, options: LoadOptions) -> Backbone:
    from asap.backbones.sana.load import load

    return load(folder, name, options)


FAMILY = Family(
    name="sana",
    pipelines=("SanaPipeline", "SanaSprintPipeline"),
    load=_load,
    lora_forms=(),
    hubs=(
        "Efficient-Large-Model/Sana_1600M_1024px_BF16_diffusers",
        "Efficient-Large-Model/SANA1.5_1.6B_1024px_diffusers",
        "Efficient-Large-Model/Sana_Sprint_1.6B_1024px_diffusers",
    ),
)
