"""Small SDXL and FLUX with the proportions of the real ones, random weights, and a few pairs to train them on.

SDXL has all its layers and a tenth of its channels, FLUX a fraction of depth and width: a step takes seconds on one
core while matrix products dominate. The autoencoder is widened until encoding a picture takes
about 0.7 of a denoiser forward, which is SDXL at 1024x1024 (FLUX has a far smaller share, see the README).
"""

import io
import time
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
from asap.backbones.flux.targets import LORA_TARGETS as FLUX_TARGETS
from asap.backbones.mini.tokenizer import build_tokenizer
from asap.backbones.paths import FlowPath
from asap.backbones.pipeline import PipelineBackbone
from asap.backbones.protocol import TextCondition
from asap.backbones.sdxl.backbone import SDXLBackbone
from asap.backbones.sdxl.targets import LORA_TARGETS as SDXL_TARGETS

CAPTIONS: Final = ("a person raises one hand with five fingers", "two people shake hands in a park")
SIZE: Final = 256
"""Side of the pictures in pixels."""
ENCODER_SHARE: Final = 0.7
WIDTHS: Final = (6, 8, 10, 12, 14, 16, 18)
TEXT_TOKENS: Final = {"sdxl": 77, "flux": 32}
"""FLUX: about an eighth of the picture's tokens, as 512 are of 4096."""


@dataclass(frozen=True)
class Pair:
    """One row of a Pick-a-Pic table."""

    winner: bytes
    """JPEG."""
    loser: bytes
    caption: str


def pairs(count: int = 1) -> list[Pair]:
    """Smooth random pictures whose losers differ in one square."""
    found = []
    for index, caption in enumerate(CAPTIONS[:count]):
        source = np.random.default_rng(index)
        small = source.integers(0, 255, (16, 16, 3), dtype=np.uint8)
        winner = np.asarray(Image.fromarray(small).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
        loser = winner.copy()
        loser[96:160, 96:160] = 255 - loser[96:160, 96:160]
        found.append(Pair(_jpeg(winner), _jpeg(loser), caption))
    return found


def _jpeg(picture: Any) -> bytes:  # noqa: ANN401
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def _autoencoder(width: int, channels: int) -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(width, 2 * width, 4 * width, 4 * width),
        layers_per_block=2,
        latent_channels=channels,
        norm_num_groups=2,
    )


def _clip(hidden: int, **more: Any) -> CLIPTextConfig:  # noqa: ANN401
    return CLIPTextConfig(
        hidden_size=hidden, intermediate_size=4 * hidden, num_hidden_layers=4, num_attention_heads=2, **more
    )


def _sdxl(width: int) -> PipelineBackbone:
    words = build_tokenizer(list(CAPTIONS), 77)
    unet = UNet2DConditionModel(
        sample_size=SIZE // 8,
        block_out_channels=(32, 64, 128),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(1, 1, 2),
        cross_attention_dim=80,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=32,
        projection_class_embeddings_input_dim=6 * 32 + 48,
        norm_num_groups=16,
    )
    pipeline = StableDiffusionXLPipeline(
        vae=_autoencoder(width, 4),
        text_encoder=CLIPTextModel(_clip(32)),
        text_encoder_2=CLIPTextModelWithProjection(_clip(48, projection_dim=48)),
        tokenizer=words,
        tokenizer_2=words,
        unet=unet,
        scheduler=EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
        add_watermarker=False,
    )
    return SDXLBackbone(pipeline, "small sdxl", lora_targets=SDXL_TARGETS)


def _flux(width: int) -> PipelineBackbone:
    transformer = FluxTransformer2DModel(
        in_channels=64,
        num_layers=3,
        num_single_layers=6,
        attention_head_dim=64,
        num_attention_heads=3,
        joint_attention_dim=128,
        pooled_projection_dim=32,
        guidance_embeds=True,
        axes_dims_rope=(8, 28, 28),
    )
    long = T5Config(d_model=128, d_kv=32, d_ff=256, num_layers=4, num_heads=4, vocab_size=512)
    vae = _autoencoder(width, 16)
    vae.register_to_config(scaling_factor=0.3611, shift_factor=0.1159)
    pipeline = FluxPipeline(
        transformer=transformer,
        vae=vae,
        text_encoder=CLIPTextModel(_clip(32)),
        text_encoder_2=T5EncoderModel(long),
        tokenizer=build_tokenizer(list(CAPTIONS), 77),
        tokenizer_2=None,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
    )
    path = FlowPath(clock=1.0)  # the transformer multiplies times by 1000 itself
    return FluxBackbone(pipeline, "small flux", path=path, lora_targets=FLUX_TARGETS, resolution=SIZE)


BUILD: Final[dict[str, Callable[[int], PipelineBackbone]]] = {"sdxl": _sdxl, "flux": _flux}


def build(family: str, width: int) -> PipelineBackbone:
    """A model with random weights, the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return BUILD[family](width)


def fitting_width(family: str) -> tuple[int, float]:
    """The autoencoder's width whose encoder costs nearest to 0.7 of a denoiser forward, and what it costs, in CPU."""
    found = {}
    for width in WIDTHS:
        backbone = build(family, width)
        picture = torch.zeros(1, 3, SIZE, SIZE)
        latent = torch.zeros(1, *backbone.latent_size(SIZE, SIZE))
        condition = embed(family, backbone, [CAPTIONS[0]])
        with torch.no_grad():
            encoding = _median(lambda b=backbone, p=picture: b.pipeline.vae.encode(p))
            denoising = _median(lambda b=backbone, x=latent, c=condition: b.denoise(x, torch.tensor([0.5]), c))
        found[width] = encoding / denoising
        if found[width] > 1:
            break
    best = min(found, key=lambda width: abs(found[width] - ENCODER_SHARE))
    return best, found[best]


def _median(run: Callable[[], object], times: int = 3) -> float:
    run()
    seconds = []
    for _ in range(times):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return float(np.median(seconds))


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
        pooled = pipeline.text_encoder(tokens(backbone, captions, 77)).pooler_output
        text = pipeline.text_encoder_2(tokens(backbone, captions, TEXT_TOKENS["flux"]).clamp(max=511))[0]
    return TextCondition({"text": text, "pooled": pooled})
