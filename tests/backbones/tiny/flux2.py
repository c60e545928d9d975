"""FLUX.2 klein with a few channels: Qwen3 of 27 narrow layers, because the layers 9, 18 and 27 are stacked."""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Pipeline,
    Flux2Transformer2DModel,
)
from transformers import Mistral3Config, Mistral3ForConditionalGeneration, Qwen3Config, Qwen3ForCausalLM

from tests.backbones.tiny._tokenizers import qwen_tokenizer

CHANNELS = 32
COMMUNITY = {
    *("to_q", "to_k", "to_v", "to_out.0", "to_qkv_mlp_proj"),
    *(f"single_transformer_blocks.{block}.attn.to_out" for block in range(2)),
}
"""What diffusers' LoRA script for this family trains."""
TOKEN = 2
DEV_CHAT = "{% for message in messages %}[{{ message.role }}]{{ message.content[0].text }}{% endfor %}"
"""Messages of one text each."""


def latents_of(pipeline: Flux2KleinPipeline, images: torch.Tensor) -> torch.Tensor:
    """By the pipeline's own encoding of an image, whose 2x2 cells are put back in their places."""
    latents = pipeline._encode_vae_image(images, None)
    return torch.as_tensor(pipeline._unpatchify_latents(latents))


def autoencoder() -> AutoencoderKLFlux2:
    """FLUX.2's autoencoder; the statistics of its batch norm are not those of a fresh one."""
    vae = AutoencoderKLFlux2(
        block_out_channels=(4, 4, 8, 8), layers_per_block=1, norm_num_groups=2, latent_channels=CHANNELS, sample_size=64
    )
    vae.bn.running_mean.copy_(torch.randn(4 * CHANNELS) * 0.1)
    vae.bn.running_var.copy_(torch.rand(4 * CHANNELS) + 0.5)
    return vae


def denoiser(width: int, *, guidance: bool) -> Flux2Transformer2DModel:
    """One double and two single blocks for text of ``width``."""
    return Flux2Transformer2DModel(
        in_channels=4 * CHANNELS,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=width,
        timestep_guidance_channels=16,
        axes_dims_rope=(2, 2, 2, 2),
        guidance_embeds=guidance,
    )


def pipeline(*, distilled: bool = False) -> Flux2KleinPipeline:
    """Random weights; ``distilled`` True is klein for four steps, which takes no guidance at all."""
    words = qwen_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformer, vae = denoiser(3 * 8, guidance=False), autoencoder()
        text = Qwen3ForCausalLM(
            Qwen3Config(
                vocab_size=len(words),
                hidden_size=8,
                intermediate_size=8,
                num_hidden_layers=27,
                num_attention_heads=1,
                num_key_value_heads=1,
                head_dim=8,
                max_position_embeddings=1024,
                tie_word_embeddings=True,
            )
        )
    return Flux2KleinPipeline(
        transformer=transformer.eval(),
        vae=vae.eval(),
        text_encoder=text.eval(),
        tokenizer=words,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        is_distilled=distilled,
    )


def dev() -> Flux2Pipeline:
    """FLUX.2 dev: Mistral's layers 10, 20 and 30 are stacked, guidance is embedded.

    A tokenizer stands for its processor, which adds no more than images.
    """
    words = qwen_tokenizer()
    words.chat_template = DEV_CHAT
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformer, vae = denoiser(3 * 8, guidance=True), autoencoder()
        narrow = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 1, "head_dim": 8}
        text = Mistral3ForConditionalGeneration(
            Mistral3Config(
                text_config={
                    "model_type": "mistral",
                    "vocab_size": len(words),
                    "num_hidden_layers": 30,
                    "num_key_value_heads": 1,
                    **narrow,
                },
                vision_config={"model_type": "pixtral", "num_hidden_layers": 1, "image_size": 28, **narrow},
            )
        )
    return Flux2Pipeline(
        transformer=transformer.eval(),
        vae=vae.eval(),
        text_encoder=text.eval(),
        tokenizer=words,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
    )


def build(folder: Path) -> None:
    """Save it to ``folder``."""
    pipeline().save_pretrained(folder)
