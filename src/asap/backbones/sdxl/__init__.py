"""SDXL and what was fine-tuned from it, v-prediction and zero terminal SNR included; without the refiner."""

from pathlib import Path

from asap.backbones.family import Family, LoadOptions
from asap.backbones.protocol import Backbone

__all__ = ["FAMILY"]


def _load(folder: Path, name: str, options: LoadOptions) -> Backbone:
    from asap.backbones.sdxl.load import load

    return load(folder, name, options)


FAMILY = Family(
    name="sdxl",
    pipelines=("StableDiffusionXLPipeline",),
    load=_load,
    lora_dots=False,
    hubs=(
        "stabilityai/stable-diffusion-xl-base-1.0",
        "RunDiffusion/Juggernaut-XL-v9",
        "Laxhar/noobai-XL-Vpred-1.0",
    ),
)
