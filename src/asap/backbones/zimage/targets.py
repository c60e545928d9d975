"""Layers that a LoRA for Z-Image goes on."""

from typing import Final

__all__ = ["LORA_TARGETS"]

LORA_TARGETS: Final = ("to_k", "to_q", "to_v", "to_out.0")
"""Attention in every block, the refiners' too: the default of diffusers (examples/dreambooth,
train_dreambooth_lora_z_image.py) and of SimpleTuner (helpers/models/z_image/model.py)."""
