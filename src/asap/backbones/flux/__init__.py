"""FLUX.1 dev and schnell, and what was fine-tuned from them: see the README beside this file."""

from typing import Final

from asap.backbones.family import Family

__all__ = ["FAMILY"]

IMAGE, TEXT, BLOCK = "double_blocks.{}.img_", "double_blocks.{}.txt_", "transformer_blocks.{}."
ONE, SINGLE = "single_blocks.{}.", "single_transformer_blocks.{}."

ORIGINAL: Final = {
    IMAGE + "attn.qkv": (BLOCK + "attn.to_q", BLOCK + "attn.to_k", BLOCK + "attn.to_v"),
    IMAGE + "attn.proj": (BLOCK + "attn.to_out.0",),
    IMAGE + "mlp.0": (BLOCK + "ff.net.0.proj",),
    IMAGE + "mlp.2": (BLOCK + "ff.net.2",),
    IMAGE + "mod.lin": (BLOCK + "norm1.linear",),
    TEXT + "attn.qkv": (BLOCK + "attn.add_q_proj", BLOCK + "attn.add_k_proj", BLOCK + "attn.add_v_proj"),
    TEXT + "attn.proj": (BLOCK + "attn.to_add_out",),
    TEXT + "mlp.0": (BLOCK + "ff_context.net.0.proj",),
    TEXT + "mlp.2": (BLOCK + "ff_context.net.2",),
    TEXT + "mod.lin": (BLOCK + "norm1_context.linear",),
    ONE + "linear1": (SINGLE + "attn.to_q", SINGLE + "attn.to_k", SINGLE + "attn.to_v", SINGLE + "proj_mlp"),
    ONE + "linear2": (SINGLE + "proj_out",),
    ONE + "modulation.lin": (SINGLE + "norm.linear",),
}
"""Original map -> the maps that diffusers makes of its rows, in their order; {} is a block's number."""

FAMILY = Family(
    name="flux",
    pipelines=("FluxPipeline",),
    original=ORIGINAL,
    hubs=("black-forest-labs/FLUX.1-dev", "black-forest-labs/FLUX.1-schnell", "black-forest-labs/FLUX.1-Krea-dev"),
)
