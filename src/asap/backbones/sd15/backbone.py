"""Stable Diffusion 1.x and 2.x behind the ``Backbone`` protocol."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asap.backbones.family import LoadOptions
from asap.backbones.pipeline import open_pipeline
from asap.backbones.protocol import TextCondition
from asap.backbones.unet import UnetBackbone

__all__ = ["SD15Backbone", "load"]


class SD15Backbone(UnetBackbone):
    """One text encoder, latents of 4 channels at 1/8. Condition: ``text`` (B, 77, D)."""

    lora_targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    """All attention: the list of diffusers' own LoRA scripts (examples/text_to_image/train_text_to_image_lora.py and
    examples/research_projects/diffusion_dpo/train_diffusion_dpo.py)."""

    def embed(self, prompts: Sequence[str]) -> TextCondition:
        """The encoder's last hidden states after its final norm, as the pipeline takes them."""
        with torch.no_grad():
            states, _ = self.pipeline.encode_prompt(list(prompts), self.device, 1, False)
        return TextCondition({"text": states.float()})

    def denoise(self, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        """What the scheduler's prediction_type says, (B, C, h, w), float32."""
        prediction: Tensor = self.denoiser(
            x_t.to(self.device, self.dtype),
            self.path.model_time(t),
            encoder_hidden_states=condition.tensors["text"].to(self.device, self.dtype),
            return_dict=False,
        )[0]
        return prediction.float()


def load(folder: Path, name: str, options: LoadOptions) -> SD15Backbone:
    """A pipeline folder without its safety checker, which alignment does not need and which blanks images.

    Raises:
        StoreError: the folder is incomplete or unreadable.
        InputError: it is an inpainting or distilled model, or its schedule is not supported.
    """
    unused: dict[str, Any] = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return SD15Backbone(open_pipeline(folder, options, **unused), name, options)
