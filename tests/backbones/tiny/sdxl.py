"""SDXL with a few channels: two text encoders, pooled text and six sizes."""

from pathlib import Path
from typing import Any

import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from asap.backbones.mini.tokenizer import build_tokenizer
from tests.backbones.tiny.sd15 import CAPTIONS, autoencoder, clip_settings, unet

COMMUNITY = {"to_q", "to_k", "to_v", "to_out.0"}
"""What diffusers' LoRA and DPO scripts for this family train."""
POOLED, SIZES = 16, 4


def build(folder: Path, **changes: Any) -> None:
    """Save the pipeline; ``changes`` override components."""
    tokenizer = build_tokenizer(CAPTIONS, 77)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first = CLIPTextModel(clip_settings(tokenizer, 16, hidden_act="gelu"))
        second = CLIPTextModelWithProjection(clip_settings(tokenizer, 24, projection_dim=POOLED))
        vae = autoencoder(0.13025)
        denoiser = unet(
            16 + 24,
            addition_embed_type="text_time",
            addition_time_embed_dim=SIZES,
            projection_class_embeddings_input_dim=6 * SIZES + POOLED,
            transformer_layers_per_block=(1, 2),
            use_linear_projection=True,
        )
    vae.register_to_config(force_upcast=False)
    clock = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "timestep_spacing": "leading"}
    parts = {
        "vae": vae.eval(),
        "text_encoder": first.eval(),
        "text_encoder_2": second.eval(),
        "tokenizer": tokenizer,
        "tokenizer_2": tokenizer,
        "unet": denoiser.eval(),
        "scheduler": EulerDiscreteScheduler(**{**clock, "steps_offset": 1}),
        "add_watermarker": False,
        **changes,
    }
    StableDiffusionXLPipeline(**parts).save_pretrained(folder)
