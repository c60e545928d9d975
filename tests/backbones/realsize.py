"""Denoisers of the published models on the meta device: names and sizes without weights.

Configurations: unet/config.json of stable-diffusion-xl-base-1.0; FLUX.2 klein after musubi-tuner
(flux_2/flux2_models.py, Klein4BParams and Klein9BParams); SD3.5 after diffusers (scripts/convert_sd3_to_diffusers.py);
the others are the defaults of diffusers' classes.
"""

from functools import cache
from typing import Any

import diffusers
import torch
from torch import nn

SDXL = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


def _sd3(depth: int, **more: Any) -> dict[str, Any]:
    return {
        "sample_size": 128,
        "num_layers": depth,
        "num_attention_heads": depth,
        "caption_projection_dim": 64 * depth,
        "joint_attention_dim": 4096,
        "pooled_projection_dim": 2048,
        **more,
    }


def _klein(double: int, single: int, heads: int, text: int) -> dict[str, Any]:
    return {
        "num_layers": double,
        "num_single_layers": single,
        "num_attention_heads": heads,
        "joint_attention_dim": text,
        "guidance_embeds": False,
    }


REAL: dict[str, tuple[str, str, dict[str, Any]]] = {
    "sd15": ("sd15", "UNet2DConditionModel", {"cross_attention_dim": 768, "sample_size": 64}),
    "sdxl": ("sdxl", "UNet2DConditionModel", SDXL),
    "sd3": ("sd3", "SD3Transformer2DModel", _sd3(24)),
    "sd35_medium": (
        "sd3",
        "SD3Transformer2DModel",
        _sd3(24, dual_attention_layers=tuple(range(13)), qk_norm="rms_norm"),
    ),
    "sd35_large": ("sd3", "SD3Transformer2DModel", _sd3(38, qk_norm="rms_norm")),
    "flux": ("flux", "FluxTransformer2DModel", {"guidance_embeds": True}),
    "flux2": ("flux2", "Flux2Transformer2DModel", {}),
    "flux2_klein_4b": ("flux2", "Flux2Transformer2DModel", _klein(5, 20, 24, 7680)),
    "flux2_klein_9b": ("flux2", "Flux2Transformer2DModel", _klein(8, 24, 32, 12288)),
    "qwen_image": ("qwen_image", "QwenImageTransformer2DModel", {}),
    "zimage": ("zimage", "ZImageTransformer2DModel", {}),
    "sana": ("sana", "SanaTransformer2DModel", {}),
}
"""Name -> family, class of diffusers, configuration."""


@cache
def denoiser(name: str) -> nn.Module:
    """The denoiser of a published model, on meta."""
    _, kind, config = REAL[name]
    with torch.device("meta"):
        built = getattr(diffusers, kind)(**config)
    assert isinstance(built, nn.Module)
    return built
