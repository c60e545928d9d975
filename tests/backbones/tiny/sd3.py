"""Stable Diffusion 3.5 with a few channels: all three text encoders, dual attention and query-key norm in one layer."""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from transformers import CLIPTextModelWithProjection, PreTrainedTokenizerBase, T5Config, T5EncoderModel

from asap.backbones.mini.tokenizer import build_tokenizer
from tests.backbones.tiny._tokenizers import t5_tokenizer
from tests.backbones.tiny.sd15 import CAPTIONS, clip_settings

COMMUNITY = {
    *(f"attn.{name}" for name in ("to_q", "to_k", "to_v", "to_out.0")),
    *(f"attn.{name}" for name in ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")),
}
"""What diffusers' LoRA script for this family trains."""


def autoencoder(channels: int = 16) -> AutoencoderKL:
    """A Kullback-Leibler autoencoder that halves three times; its scale and shift are SD3's."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 8, 8),
        layers_per_block=1,
        norm_num_groups=2,
        latent_channels=channels,
        sample_size=64,
        scaling_factor=1.5305,
        shift_factor=0.0609,
        use_quant_conv=False,
        use_post_quant_conv=False,
        force_upcast=False,
    )


def t5_encoder(width: int, vocabulary: PreTrainedTokenizerBase) -> T5EncoderModel:
    """Two layers of T5's encoder in its version 1.1."""
    return T5EncoderModel(
        T5Config(
            vocab_size=len(vocabulary),
            d_model=width,
            d_kv=8,
            d_ff=2 * width,
            num_layers=2,
            num_heads=2,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
            pad_token_id=0,
            eos_token_id=1,
        )
    )


def pipeline(*, dual: bool = True) -> StableDiffusion3Pipeline:
    """Random weights; ``dual`` False is the shape of SD3 instead of SD3.5 medium."""
    words, pieces = build_tokenizer(CAPTIONS, 77), t5_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformer = SD3Transformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=16,
            out_channels=16,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=32,
            caption_projection_dim=16,
            pooled_projection_dim=20,
            pos_embed_max_size=12,
            dual_attention_layers=(0,) if dual else (),
            qk_norm="rms_norm" if dual else None,
        )
        parts = {
            "transformer": transformer,
            "vae": autoencoder(),
            "text_encoder": CLIPTextModelWithProjection(clip_settings(words, 8, projection_dim=8)),
            "text_encoder_2": CLIPTextModelWithProjection(clip_settings(words, 12, projection_dim=12)),
            "text_encoder_3": t5_encoder(32, pieces),
        }
    return StableDiffusion3Pipeline(
        **{name: part.eval() for name, part in parts.items()},
        tokenizer=words,
        tokenizer_2=words,
        tokenizer_3=pieces,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )


def build(folder: Path) -> None:
    """Save it to ``folder``."""
    pipeline().save_pretrained(folder)
