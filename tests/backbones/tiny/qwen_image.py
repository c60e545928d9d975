"""A random Qwen-Image pipeline with few channels."""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
)
from torch import Tensor
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from tests.backbones.tiny._tokenizers import qwen_tokenizer

COMMUNITY = {"to_k", "to_q", "to_v", "to_out.0"}
"""diffusers' train_dreambooth_lora_qwen_image.py, SimpleTuner's DEFAULT_LORA_TARGET."""
CALL = {"true_cfg_scale": 1.0}
TOKEN = 2
SCHEDULER = {
    "base_image_seq_len": 256,
    "base_shift": 0.5,
    "max_image_seq_len": 8192,
    "max_shift": 0.9,
    "shift": 1.0,
    "shift_terminal": 0.02,
    "time_shift_type": "exponential",
    "use_dynamic_shifting": True,
}
"""As in the repository Qwen/Qwen-Image."""


def _text(words: int) -> Qwen2_5_VLForConditionalGeneration:
    settings = Qwen2_5_VLConfig(
        text_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "vocab_size": words,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [1, 1, 2]},
            "bos_token_id": None,
            "eos_token_id": 0,
            "pad_token_id": 0,
        },
        vision_config={
            "depth": 1,
            "hidden_size": 8,
            "intermediate_size": 8,
            "num_heads": 1,
            "out_hidden_size": 16,
            "fullatt_block_indexes": [0],
        },
        **{f"{kind}_token_id": 0 for kind in ("image", "video", "vision_start", "vision_end")},
    )
    return Qwen2_5_VLForConditionalGeneration(settings)


def build(folder: Path) -> None:
    """Write the pipeline to ``folder``; the weights are the same in every call."""
    tokenizer = qwen_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pipeline = QwenImagePipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(**SCHEDULER),
            vae=AutoencoderKLQwenImage(
                base_dim=8,
                z_dim=4,
                num_res_blocks=1,
                latents_mean=[-0.7, 0.1, 1.5, 0.4],
                latents_std=[2.8, 1.4, 2.3, 0.6],
            ),
            text_encoder=_text(len(tokenizer)),
            tokenizer=tokenizer,
            transformer=QwenImageTransformer2DModel(
                in_channels=16,
                out_channels=4,
                num_layers=2,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=16,
                axes_dims_rope=(4, 6, 6),
            ),
        )
    pipeline.vae.register_to_config(sample_size=64)  # no setting of this class, but kept
    pipeline.save_pretrained(folder)


def latents_of(pipeline: Any, images: Tensor) -> Tensor:
    """As the pipeline's relative for image-to-image has them, apart from the posterior's noise."""
    vae = pipeline.vae
    latents: Tensor = vae.encode(images[:, :, None]).latent_dist.mode()
    numbers = (vae.config.latents_mean, vae.config.latents_std)
    mean, deviation = (torch.tensor(each).view(1, -1, 1, 1, 1) for each in numbers)
    return ((latents - mean) * (1.0 / deviation))[:, :, 0]
