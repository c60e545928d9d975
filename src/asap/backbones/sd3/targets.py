"""Where a LoRA goes: the defaults of diffusers' examples/dreambooth/train_dreambooth_lora_sd3.py."""

from typing import Final

__all__ = ["LORA_TARGETS"]

LORA_TARGETS: Final = (
    "attn.to_q",
    "attn.to_k",
    "attn.to_v",
    "attn.to_out.0",
    "attn.add_q_proj",
    "attn.add_k_proj",
    "attn.add_v_proj",
    "attn.to_add_out",
)
"""The joint attention of images (to_*) and text (add_*), without the second attention of 3.5 medium (attn2)."""
