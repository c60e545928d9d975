"""Stable Diffusion 3 and 3.5: see the README beside this file."""

from typing import Final

from asap.backbones.family import Family

__all__ = ["FAMILY"]

X, CONTEXT, BLOCK = "joint_blocks.{}.x_block.", "joint_blocks.{}.context_block.", "transformer_blocks.{}."

ORIGINAL: Final = {
    X + "attn.qkv": (BLOCK + "attn.to_q", BLOCK + "attn.to_k", BLOCK + "attn.to_v"),
    X + "attn.proj": (BLOCK + "attn.to_out.0",),
    X + "attn2.qkv": (BLOCK + "attn2.to_q", BLOCK + "attn2.to_k", BLOCK + "attn2.to_v"),
    X + "attn2.proj": (BLOCK + "attn2.to_out.0",),
    X + "mlp.fc1": (BLOCK + "ff.net.0.proj",),
    X + "mlp.fc2": (BLOCK + "ff.net.2",),
    CONTEXT + "attn.qkv": (BLOCK + "attn.add_q_proj", BLOCK + "attn.add_k_proj", BLOCK + "attn.add_v_proj"),
    CONTEXT + "attn.proj": (BLOCK + "attn.to_add_out",),
    CONTEXT + "mlp.fc1": (BLOCK + "ff_context.net.0.proj",),
    CONTEXT + "mlp.fc2": (BLOCK + "ff_context.net.2",),
}
"""Original map -> the maps that diffusers makes of its rows, in their order; {} is a block's number. The modulation
(adaLN) is left out: in the last block diffusers has its rows in another order."""

FAMILY = Family(
    name="sd3",
    pipelines=("StableDiffusion3Pipeline",),
    original=ORIGINAL,
    hubs=(
        "stabilityai/stable-diffusion-3-medium-diffusers",
        "stabilityai/stable-diffusion-3.5-medium",
        "stabilityai/stable-diffusion-3.5-large",
    ),
)
