"""SDXL and what was fine-tuned from it, v-prediction and zero terminal SNR included; without the refiner."""

from asap.backbones.family import Family

__all__ = ["FAMILY"]

FAMILY = Family(
    name="sdxl",
    pipelines=("StableDiffusionXLPipeline",),
    sgm=True,
    comfyui="kohya",
    hubs=(
        "stabilityai/stable-diffusion-xl-base-1.0",
        "RunDiffusion/Juggernaut-XL-v9",
        "Laxhar/noobai-XL-Vpred-1.0",
    ),
)
