"""Stable Diffusion 3 and 3.5 behind the ``Backbone`` protocol."""

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor

from asap.backbones.pipeline import PipelineBackbone
from asap.backbones.protocol import TextCondition
from asap.backbones.sd3.text import embed
from asap.core.errors import InputError

__all__ = ["Sd3Backbone"]

SD3: Final = (28, 7.0)
MEDIUM: Final = (40, 4.5)
LARGE: Final = (28, 3.5)
"""Steps and guidance of SD3 medium, SD3.5 medium and SD3.5 large."""


class Sd3Backbone(PipelineBackbone):
    """Latents of 16 channels at an eighth; the transformer cuts them into patches of 2x2 by itself."""

    component = "transformer"
    cell = 16

    def latent_size(self, height: int, width: int) -> tuple[int, int, int]:
        """(C, h, w); raises ``InputError`` also for images larger than the table of positions."""
        largest = self.pipeline.transformer.config.pos_embed_max_size * self.cell
        if max(height, width) > largest:
            raise InputError(f"{self.name} takes images up to {largest} a side, got {height}x{width}; resize them")
        return super().latent_size(height, width)

    def embed(self, prompts: Sequence[str]) -> TextCondition:
        """``text`` (B, 77 + 256, D) and ``pooled`` (B, P)."""
        with torch.no_grad():
            return TextCondition(embed(self.pipeline, prompts, self.device))

    def call_text(self, prompts: list[str]) -> dict[str, Any]:
        """The prompts; where a CLIP is absent, which the pipeline does not know, their embeddings and those of none."""
        if None not in (self.pipeline.text_encoder, self.pipeline.text_encoder_2):
            return super().call_text(prompts)
        named = {"prompt_embeds": "text", "pooled_prompt_embeds": "pooled"}
        given = {"": self.embed(prompts), "negative_": self.embed([""] * len(prompts))}
        return {
            prefix + name: condition.tensors[ours].to(self.dtype)
            for prefix, condition in given.items()
            for name, ours in named.items()
        }

    def _how(self, steps: int | None, guidance: float | None) -> dict[str, Any]:
        """Steps and guidance of the model cards, told apart by query-key norm (3.5) and second attention (medium)."""
        settings = self.pipeline.transformer.config
        card = SD3 if not settings.qk_norm else MEDIUM if settings.dual_attention_layers else LARGE
        named = dict(zip(("num_inference_steps", "guidance_scale"), card, strict=True))
        return {**named, **super()._how(steps, guidance)}

    def denoise(self, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        """Predicted noise - x at x_t, (B, C, h, w), float32."""
        prediction: Tensor = self.denoiser(
            hidden_states=x_t.to(self.device, self.dtype),
            timestep=self.path.model_time(t).to(self.device),
            encoder_hidden_states=condition.tensors["text"].to(self.device, self.dtype),
            pooled_projections=condition.tensors["pooled"].to(self.device, self.dtype),
            return_dict=False,
        )[0]
        return prediction.float()
