"""Where a LoRA goes: the defaults of diffusers' examples/dreambooth/train_dreambooth_lora_flux.py."""

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
    "ff.net.0.proj",
    "ff.net.2",
    "ff_context.net.0.proj",
    "ff_context.net.2",
)
"""All of the double blocks but their modulation, and query, key and value of the single blocks."""
