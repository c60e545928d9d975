"""FLUX.1 with a few channels: one double and one single block, 2x2 packing, guidance embedded as in dev."""

from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from transformers import CLIPTextModel

from asap.backbones.mini.tokenizer import build_tokenizer
from tests.backbones.tiny._tokenizers import t5_tokenizer
from tests.backbones.tiny.sd3 import COMMUNITY as ATTENTION
from tests.backbones.tiny.sd3 import autoencoder, t5_encoder
from tests.backbones.tiny.sd15 import CAPTIONS, clip_settings

COMMUNITY = {*ATTENTION, *(f"{part}.net.{layer}" for part in ("ff", "ff_context") for layer in ("0.proj", "2"))}
"""What diffusers' LoRA script for this family trains."""
TOKEN = 2


def pipeline(*, distilled: bool = True) -> FluxPipeline:
    """Random weights; ``distilled`` False is schnell, which has no embedded guidance and no shift."""
    words, pieces = build_tokenizer(CAPTIONS, 77), t5_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformer = FluxTransformer2DModel(
            in_channels=64,
            num_layers=1,
            num_single_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=8,
            guidance_embeds=distilled,
            axes_dims_rope=(2, 2, 4),
        )
        vae = autoencoder()
        text, long_text = CLIPTextModel(clip_settings(words, 8)), t5_encoder(32, pieces)
    vae.register_to_config(scaling_factor=0.3611, shift_factor=0.1159)
    clock = {"shift": 3.0, "use_dynamic_shifting": True} if distilled else {"shift": 1.0}
    return FluxPipeline(
        transformer=transformer.eval(),
        vae=vae.eval(),
        text_encoder=text.eval(),
        text_encoder_2=long_text.eval(),
        tokenizer=words,
        tokenizer_2=pieces,
        scheduler=FlowMatchEulerDiscreteScheduler(**clock),
    )


def build(folder: Path) -> None:
    """Save it to ``folder``."""
    pipeline().save_pretrained(folder)
