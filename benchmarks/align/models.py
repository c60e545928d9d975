"""SDXL and FLUX made small by one number each, with random weights, and a few pairs to train them on.

What decides how the parts of a step compare are ratios: of channels between levels, of tokens to channels (attention
against linear maps), of text to image tokens. All stay as they are at 1024x1024 when channels, image area and text
tokens are divided by the same number: 5 for SDXL, which keeps all its layers, and 8 for FLUX, which keeps 9 of its 57
blocks. Matrices are then large enough for the arithmetic to outweigh the calls, as at real size.

The autoencoder has its real levels and layers. Its channels are set in the run, so that encoding costs 0.7 of a
denoiser forward (``benchmarks.align.share``), which is SDXL's share at 1024x1024; FLUX has a far smaller one, see the
README.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

from asap.backbones.flux.backbone import FluxBackbone
from asap.backbones.mini.tokenizer import build_tokenizer
from asap.backbones.pipeline import PipelineBackbone
from asap.backbones.protocol import TextCondition
from asap.backbones.sdxl.backbone import SDXLBackbone

CAPTIONS: Final = ("a person raises one hand with five fingers", "two people shake hands in a park")
SIZES: Final = {"sdxl": 448, "flux": 368}
"""Sides of the images in pixels: 1024 / sqrt(5) and 1024 / sqrt(8), to whole cells."""
TEXT_TOKENS: Final = {"sdxl": 16, "flux": 64}
"""77 / 5 and 512 / 8."""
CLIP_TOKENS: Final = 16
LATENTS: Final = {"sdxl": 4, "flux": 16}
"""Channels of a latent."""
Levels = tuple[int, int, int, int]
"""Channels of the autoencoder's four levels."""


@dataclass(frozen=True)
class Pair:
    """One row of a Pick-a-Pic table."""

    winner: bytes
    """JPEG."""
    loser: bytes
    caption: str


def pairs(size: int, count: int = 1) -> list[Pair]:
    """Smooth random images of a size whose losers differ in the square that ``square`` names."""
    found = []
    for index, caption in enumerate(CAPTIONS[:count]):
        source = np.random.default_rng(index)
        small = source.integers(0, 255, (16, 16, 3), dtype=np.uint8)
        winner = np.asarray(Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC))
        loser, part = winner.copy(), square(size)
        loser[part, part] = 255 - loser[part, part]
        found.append(Pair(_jpeg(winner), _jpeg(loser), caption))
    return found


def square(size: int) -> slice:
    """Rows, and columns, in which winner and loser differ: a quarter of the side."""
    return slice(size * 3 // 8, size * 5 // 8)


def _jpeg(picture: Any) -> bytes:  # noqa: ANN401
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def autoencoder(levels: Levels, channels: int) -> AutoencoderKL:
    """SDXL's and FLUX's but for the channels: four levels of two layers, attention in the middle."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=levels,
        layers_per_block=2,
        latent_channels=channels,
        norm_num_groups=2,
    )


def encoder(family: str, levels: Levels) -> AutoencoderKL:
    """A family's autoencoder with random weights, frozen."""
    vae = autoencoder(levels, LATENTS[family])
    if family == "flux":
        vae.register_to_config(scaling_factor=0.3611, shift_factor=0.1159)
    return vae.eval().requires_grad_(False)


def _clip(hidden: int, layers: int, **more: Any) -> CLIPTextConfig:  # noqa: ANN401
    return CLIPTextConfig(
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        max_position_embeddings=CLIP_TOKENS,
        **more,
    )


def _sdxl(levels: Levels) -> PipelineBackbone:
    words = build_tokenizer(list(CAPTIONS), TEXT_TOKENS["sdxl"])
    unet = UNet2DConditionModel(
        sample_size=SIZES["sdxl"] // 8,
        block_out_channels=(64, 128, 256),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(1, 2, 4),
        cross_attention_dim=160 + 256,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=32,
        projection_class_embeddings_input_dim=6 * 32 + 256,
        norm_num_groups=32,
    )
    pipeline = StableDiffusionXLPipeline(
        vae=encoder("sdxl", levels),
        text_encoder=CLIPTextModel(_clip(160, 12)),
        text_encoder_2=CLIPTextModelWithProjection(_clip(256, 32, projection_dim=256)),
        tokenizer=words,
        tokenizer_2=words,
        unet=unet,
        scheduler=EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
        add_watermarker=False,
    )
    return SDXLBackbone(pipeline, "small sdxl")


def _flux(levels: Levels) -> PipelineBackbone:
    transformer = FluxTransformer2DModel(
        in_channels=64,
        num_layers=3,
        num_single_layers=6,
        attention_head_dim=128,
        num_attention_heads=3,
        joint_attention_dim=512,
        pooled_projection_dim=96,
        guidance_embeds=True,
        axes_dims_rope=(16, 56, 56),
    )
    long = T5Config(d_model=512, d_kv=64, d_ff=1280, num_layers=4, num_heads=8, vocab_size=512)
    pipeline = FluxPipeline(
        transformer=transformer,
        vae=encoder("flux", levels),
        text_encoder=CLIPTextModel(_clip(96, 2)),
        text_encoder_2=T5EncoderModel(long),
        tokenizer=build_tokenizer(list(CAPTIONS), CLIP_TOKENS),
        tokenizer_2=None,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
    )
    pipeline.vae.register_to_config(sample_size=SIZES["flux"])
    return FluxBackbone(pipeline, "small flux")


BUILD: Final[dict[str, Callable[[Levels], PipelineBackbone]]] = {"sdxl": _sdxl, "flux": _flux}


def build(family: str, levels: Levels) -> PipelineBackbone:
    """A model with random weights, the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return BUILD[family](levels)


def tokens(backbone: PipelineBackbone, captions: list[str], length: int) -> torch.Tensor:
    """Token ids (B, length)."""
    found: torch.Tensor = backbone.pipeline.tokenizer(
        captions, truncation=True, padding="max_length", max_length=length, return_tensors="pt"
    ).input_ids
    return found


def embed(family: str, backbone: PipelineBackbone, captions: list[str]) -> TextCondition:
    """The condition that both sides train under; FLUX's with the short text."""
    if family == "sdxl":
        return backbone.embed(captions)
    pipeline = backbone.pipeline
    with torch.no_grad():
        pooled = pipeline.text_encoder(tokens(backbone, captions, CLIP_TOKENS)).pooler_output
        text = pipeline.text_encoder_2(tokens(backbone, captions, TEXT_TOKENS["flux"]).clamp(max=511))[0]
    return TextCondition({"text": text, "pooled": pooled})
