"""Stable Diffusion 1.5 with a few channels."""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from asap.backbones.mini.tokenizer import build_tokenizer

CAPTIONS = ("a person with pale skin raises one hand with five fingers", "a bare foot on a plain grey background")
COMMUNITY = {"to_q", "to_k", "to_v", "to_out.0"}
"""What diffusers' LoRA scripts for this family train."""


def clip_settings(tokenizer: Any, width: int, **more: Any) -> CLIPTextConfig:
    """A text encoder of two layers for a tokenizer."""
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **more,
    )


def autoencoder(scale: float = 0.18215) -> AutoencoderKL:
    """Latents of 4 channels at 1/8, as in all of Stable Diffusion."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 8, 8),
        latent_channels=4,
        norm_num_groups=2,
        scaling_factor=scale,
        sample_size=64,
    )


def unet(text_width: int, **more: Any) -> UNet2DConditionModel:
    """Two levels, the finer with attention."""
    return UNet2DConditionModel(
        **{
            "sample_size": 8,
            "in_channels": 4,
            "out_channels": 4,
            "block_out_channels": (8, 16),
            "layers_per_block": 1,
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
            "cross_attention_dim": text_width,
            "attention_head_dim": 2,
            "norm_num_groups": 4,
            **more,
        }
    )


def build(folder: Path, **clock: Any) -> None:
    """Save the pipeline; ``clock`` overrides the scheduler's settings."""
    tokenizer = build_tokenizer(CAPTIONS, 77)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        text, vae, denoiser = CLIPTextModel(clip_settings(tokenizer, 16)), autoencoder(), unet(16)
    settings = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    pipeline = StableDiffusionPipeline(
        vae=vae.eval(),
        text_encoder=text.eval(),
        tokenizer=tokenizer,
        unet=denoiser.eval(),
        scheduler=PNDMScheduler(**{**settings, "skip_prk_steps": True, "steps_offset": 1, **clock}),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
