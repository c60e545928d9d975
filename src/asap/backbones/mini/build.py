"""Architecture of the embedded model: stock diffusers and transformers modules, random weights.

``mini`` is what ships; ``tiny`` has the same parts with a few channels and is there for tests. The choices and what was
measured for them are in docs/experiments/embedded-model.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from diffusers import AutoencoderTiny, DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from asap.backbones.mini.tokenizer import build_tokenizer
from asap.core.errors import UnknownNameError
from asap.core.seeds import derive

__all__ = ["SIZES", "Size", "build_pipeline", "build_scheduler"]

PATCH_VALUES: Final = 4 * 4 * 3
"""Numbers in a patch of 4x4 pixels."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """Widths and depths of one variant."""

    resolution: int
    """Pixels; the latents are a quarter of it on each side."""
    latent_channels: int
    decoder_width: int
    """One width at all levels, as AutoencoderTiny wants."""
    decoder_blocks: tuple[int, int, int]
    """Residual blocks at quarter, half and full resolution."""
    unet_widths: tuple[int, ...]
    unet_layers: int
    attention: tuple[bool, ...]
    """Whether each level of the UNet, from the finest, has attention; the middle always has."""
    heads: tuple[int, ...]
    text_width: int
    text_layers: int
    text_heads: int
    text_length: int
    groups: int
    """Groups of every GroupNorm."""


SIZES: Final = {
    "mini": Size(
        resolution=64,
        latent_channels=8,
        decoder_width=64,
        decoder_blocks=(3, 1, 0),
        unet_widths=(64, 128, 256),
        unet_layers=1,
        attention=(False, True, True),
        heads=(1, 2, 4),
        text_width=192,
        text_layers=2,
        text_heads=4,
        text_length=48,
        groups=16,
    ),
    "tiny": Size(
        resolution=32,
        latent_channels=4,
        decoder_width=8,
        decoder_blocks=(1, 1, 0),
        unet_widths=(8, 16),
        unet_layers=1,
        attention=(False, True),
        heads=(1, 2),
        text_width=16,
        text_layers=1,
        text_heads=2,
        text_length=32,
        groups=4,
    ),
}


SHIFT: Final = 3.0
"""Of the sampler's noise levels, sigma = 3 u / (1 + 2 u): more of its few steps where limbs find their place."""


def build_scheduler() -> Any:  # noqa: ANN401  diffusers has no types
    """The sampler: DPM-Solver++ of order 2 on the flow path, sigma = t, network time 1000 * t."""
    return DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=SHIFT, solver_order=2, steps_offset=1
    )


def _build_vae(size: Size) -> Any:  # noqa: ANN401
    return AutoencoderTiny(
        # without residual blocks the encoder is linear: it is set to principal components of 4x4 patches, not trained
        encoder_block_out_channels=(PATCH_VALUES,) * 3,
        num_encoder_blocks=(0, 0, 0),
        decoder_block_out_channels=(size.decoder_width,) * 3,
        num_decoder_blocks=size.decoder_blocks,
        latent_channels=size.latent_channels,
        scaling_factor=1.0,
    )


def _build_unet(size: Size) -> Any:  # noqa: ANN401
    down = tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in size.attention)
    up = tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(size.attention))
    return UNet2DConditionModel(
        sample_size=size.resolution // 4,
        in_channels=size.latent_channels,
        out_channels=size.latent_channels,
        block_out_channels=size.unet_widths,
        layers_per_block=size.unet_layers,
        down_block_types=down,
        up_block_types=up,
        cross_attention_dim=size.text_width,
        attention_head_dim=size.heads,
        norm_num_groups=size.groups,
        # the text also reaches every residual block, beside the time: levels without attention need it
        addition_embed_type="text",
        addition_embed_type_num_heads=size.text_heads,
    )


def _build_text(size: Size, tokenizer: Any) -> Any:  # noqa: ANN401
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=size.text_width,
            intermediate_size=4 * size.text_width,
            projection_dim=size.text_width,
            num_hidden_layers=size.text_layers,
            num_attention_heads=size.text_heads,
            max_position_embeddings=size.text_length,
            hidden_act="gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_pipeline(name: str, captions: Sequence[str], seed: int) -> Any:  # noqa: ANN401
    """A pipeline with random weights that depend on ``seed``, and a vocabulary that depends on ``captions``.

    Raises:
        UnknownNameError: ``name`` is not one of ``SIZES``.
    """
    if name not in SIZES:
        raise UnknownNameError("mini size", name, SIZES)
    size = SIZES[name]
    tokenizer = build_tokenizer(captions, size.text_length)
    with torch.random.fork_rng(devices=[]):  # constructors draw from the global generator; it is put back afterwards
        torch.manual_seed(derive(seed, "mini", "weights"))
        vae, unet, text = _build_vae(size), _build_unet(size), _build_text(size, tokenizer)
    return StableDiffusionPipeline(
        vae=vae.eval(),
        text_encoder=text.eval(),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
