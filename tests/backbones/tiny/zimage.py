"""A random Z-Image pipeline with few channels."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
from transformers import Qwen3Config, Qwen3Model

from tests.backbones.tiny._tokenizers import qwen_tokenizer

COMMUNITY = {"to_k", "to_q", "to_v", "to_out.0"}
"""diffusers' train_dreambooth_lora_z_image.py, SimpleTuner's default."""
CALL = {"guidance_scale": 0.0}


def build(folder: Path) -> None:
    """Write the pipeline to ``folder``; the weights are the same in every call."""
    tokenizer = qwen_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pipeline = ZImagePipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
            vae=AutoencoderKL(
                down_block_types=["DownEncoderBlock2D"] * 4,
                up_block_types=["UpDecoderBlock2D"] * 4,
                block_out_channels=(8, 8, 8, 8),
                norm_num_groups=4,
                latent_channels=4,
                sample_size=64,
                scaling_factor=0.3611,
                shift_factor=0.1159,
                use_quant_conv=False,
                use_post_quant_conv=False,
                force_upcast=True,
            ),
            text_encoder=Qwen3Model(
                Qwen3Config(
                    vocab_size=len(tokenizer),
                    hidden_size=16,
                    intermediate_size=32,
                    num_hidden_layers=2,
                    num_attention_heads=2,
                    num_key_value_heads=1,
                    head_dim=8,
                    bos_token_id=None,
                    eos_token_id=0,
                    pad_token_id=0,
                )
            ),
            tokenizer=tokenizer,
            transformer=ZImageTransformer2DModel(
                in_channels=4,
                dim=32,
                n_layers=2,
                n_refiner_layers=1,
                n_heads=2,
                n_kv_heads=2,
                cap_feat_dim=16,
                axes_dims=[4, 6, 6],
                axes_lens=[1024, 64, 64],
            ),
        )
        for name, value in pipeline.transformer.named_parameters():
            if name.endswith("pad_token"):  # zero in a fresh model, so that padding would not be seen
                torch.nn.init.normal_(value, std=0.1)
    pipeline.save_pretrained(folder)
