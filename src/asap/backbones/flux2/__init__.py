"""FLUX.2 klein and dev: see the README beside this file."""

from typing import Final

from asap.backbones.family import Family

__all__ = ["FAMILY"]

IMAGE, TEXT, BLOCK = "double_blocks.{}.img_", "double_blocks.{}.txt_", "transformer_blocks.{}."
ONE, SINGLE = "single_blocks.{}.", "single_transformer_blocks.{}."

ORIGINAL: Final = {
    IMAGE + "attn.qkv": (BLOCK + "attn.to_q", BLOCK + "attn.to_k", BLOCK + "attn.to_v"),
    IMAGE + "attn.proj": (BLOCK + "attn.to_out.0",),
    IMAGE + "mlp.0": (BLOCK + "ff.linear_in",),
    IMAGE + "mlp.2": (BLOCK + "ff.linear_out",),
    TEXT + "attn.qkv": (BLOCK + "attn.add_q_proj", BLOCK + "attn.add_k_proj", BLOCK + "attn.add_v_proj"),
    TEXT + "attn.proj": (BLOCK + "attn.to_add_out",),
    TEXT + "mlp.0": (BLOCK + "ff_context.linear_in",),
    TEXT + "mlp.2": (BLOCK + "ff_context.linear_out",),
    ONE + "linear1": (SINGLE + "attn.to_qkv_mlp_proj",),
    ONE + "linear2": (SINGLE + "attn.to_out",),
}
"""Original map -> the maps that diffusers makes of its rows, in their order; {} is a block's number."""

FAMILY = Family(
    name="flux2",
    pipelines=("Flux2KleinPipeline", "Flux2Pipeline"),
    original=ORIGINAL,
    hubs=(
        "black-forest-labs/FLUX.2-klein-base-4B",
        "black-forest-labs/FLUX.2-klein-4B",
        "black-forest-labs/FLUX.2-klein-base-9B",
        "black-forest-labs/FLUX.2-klein-9B",
        "black-forest-labs/FLUX.2-dev",
    ),
)
