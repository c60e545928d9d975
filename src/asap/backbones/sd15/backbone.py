"""Stable Diffusion 1.x and 2.x behind the ``Backbone`` protocol."""

from collections.abc import Sequence

import torch
from torch import Tensor

from asap.backbones.protocol import TextCondition
from asap.backbones.unet import UnetBackbone

__all__ = ["SD15Backbone"]


class SD15Backbone(UnetBackbone):
    """One text encoder, latents of 4 channels at 1/8. Condition: ``text`` (B, 77, D)."""

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
