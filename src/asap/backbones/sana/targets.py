"""Layers that a LoRA for Sana goes on."""

from typing import Final

__all__ = ["LORA_TARGETS"]

LORA_TARGETS: Final = ("to_k", "to_q", "to_v", "to_out.0")
"""Self-attention and cross-attention in every block: SimpleTuner's default (helpers/models/sana/model.py,
DEFAULT_LORA_TARGET); diffusers (examples/dreambooth/train_dreambooth_lora_sana.py) leaves ``to_out.0`` out."""
