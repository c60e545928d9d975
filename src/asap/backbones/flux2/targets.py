"""Where a LoRA goes: the defaults of diffusers' examples/dreambooth/train_dreambooth_lora_flux2_klein.py."""

from typing import Final

__all__ = ["lora_targets"]

EVERYWHERE: Final = ("to_q", "to_k", "to_v", "to_out.0", "to_qkv_mlp_proj")
"""Attention to the image in double blocks; the fused input of single blocks."""


def lora_targets(single_blocks: int) -> tuple[str, ...]:
    """Names for a transformer with that many single blocks.

    The output of a single block is named in full: "attn.to_out" alone would also name the list that holds the output
    of a double block, which is no linear map.
    """
    return (*EVERYWHERE, *(f"single_transformer_blocks.{block}.attn.to_out" for block in range(single_blocks)))
