"""What a LoRA goes on."""

from typing import Final

__all__ = ["LORA_TARGETS"]

LORA_TARGETS: Final = ("to_q", "to_k", "to_v", "to_out.0")
"""All attention: the list of diffusers' own LoRA scripts (examples/text_to_image/train_text_to_image_lora_sdxl.py and
examples/research_projects/diffusion_dpo/train_diffusion_dpo_sdxl.py)."""
