"""Sana, Sana 1.5 and Sana Sprint."""

from asap.backbones.family import Family

__all__ = ["FAMILY"]

FAMILY = Family(
    name="sana",
    pipelines=("SanaPipeline", "SanaSprintPipeline"),
    lora_forms=(),
    hubs=(
        "Efficient-Large-Model/Sana_1600M_1024px_BF16_diffusers",
        "Efficient-Large-Model/SANA1.5_1.6B_1024px_diffusers",
        "Efficient-Large-Model/Sana_Sprint_1.6B_1024px_diffusers",
    ),
)
