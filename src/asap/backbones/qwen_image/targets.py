"""Layers that a LoRA for Qwen-Image goes on."""

from typing import Final

__all__ = ["LORA_TARGETS"]

LORA_TARGETS: Final = ("to_k", "to_q", "to_v", "to_out.0")
"""The image stream's attention in every block: the default of diffusers (examples/dreambooth,
train_dreambooth_lora_qwen_image.py) and of SimpleTuner (helpers/models/qwen_image/model.py, DEFAULT_LORA_TARGET)."""
