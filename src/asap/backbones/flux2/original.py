"""Names of the original code's linear maps, by which ComfyUI and kohya name LoRA weights; see the README."""

from typing import Final

__all__ = ["ORIGINAL"]

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
