"""A random Sana pipeline with few channels; ``build_sprint`` makes the distilled kind."""

import inspect
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderDC,
    DPMSolverMultistepScheduler,
    SanaPipeline,
    SanaSprintPipeline,
    SanaTransformer2DModel,
    SCMScheduler,
)
from torch import Tensor
from transformers import Gemma2Config, Gemma2Model

from tests.backbones.tiny._tokenizers import gemma_tokenizer

COMMUNITY = {"to_k", "to_q", "to_v", "to_out.0"}
"""SimpleTuner's DEFAULT_LORA_TARGET."""
CALL = {"guidance_scale": 1.0, "use_resolution_binning": False}
LEVELS = 6
"""Five halvings: a cell of 32 pixels, as in the real autoencoder."""


def instruction() -> list[str]:
    """What the pipeline puts before every prompt; as single tokens, or its 1,800 bytes would take most of the time."""
    lines: list[str] = inspect.signature(SanaPipeline.__call__).parameters["complex_human_instruction"].default
    return lines


def _vae() -> AutoencoderDC:
    return AutoencoderDC(
        latent_channels=4,
        attention_head_dim=4,
        encoder_block_types=("ResBlock",) * (LEVELS - 1) + ("EfficientViTBlock",),
        decoder_block_types=("ResBlock",) * (LEVELS - 1) + ("EfficientViTBlock",),
        encoder_block_out_channels=(8,) * LEVELS,
        decoder_block_out_channels=(8,) * LEVELS,
        encoder_layers_per_block=(1,) * LEVELS,
        decoder_layers_per_block=(1,) * LEVELS,
        encoder_qkv_multiscales=((),) * LEVELS,
        decoder_qkv_multiscales=((),) * LEVELS,
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        scaling_factor=0.41407,
    )


def _text(words: int) -> Gemma2Model:
    return Gemma2Model(
        Gemma2Config(
            vocab_size=words,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=1,
            num_key_value_heads=1,
            head_dim=8,
            bos_token_id=2,
            eos_token_id=1,
            pad_token_id=0,
        )
    )


def _transformer(**settings: Any) -> SanaTransformer2DModel:
    return SanaTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=2,
        num_cross_attention_heads=2,
        cross_attention_head_dim=8,
        cross_attention_dim=16,
        caption_channels=16,
        sample_size=2,
        **settings,
    )


def latents_of(pipeline: Any, images: Tensor) -> Tensor:
    """An autoencoder without a posterior."""
    latents: Tensor = pipeline.vae.encode(images).latent * pipeline.vae.config.scaling_factor
    return latents


def build(folder: Path) -> None:
    """Write the pipeline to ``folder``; the weights are the same in every call."""
    tokenizer = gemma_tokenizer(instruction())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pipeline = SanaPipeline(
            tokenizer=tokenizer,
            text_encoder=_text(len(tokenizer)),
            vae=_vae(),
            transformer=_transformer(),
            scheduler=DPMSolverMultistepScheduler(
                prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
            ),
        )
    pipeline.save_pretrained(folder)


def build_sprint(folder: Path) -> None:
    """Write a Sana Sprint pipeline to ``folder``."""
    tokenizer = gemma_tokenizer(instruction())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pipeline = SanaSprintPipeline(
            tokenizer=tokenizer,
            text_encoder=_text(len(tokenizer)),
            vae=_vae(),
            transformer=_transformer(guidance_embeds=True, qk_norm="rms_norm_across_heads"),
            scheduler=SCMScheduler(prediction_type="trigflow", sigma_data=0.5),
        )
    pipeline.save_pretrained(folder)
