"""FLUX.2 behind the ``Backbone`` protocol."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from asap.backbones.family import LoadOptions
from asap.backbones.origins import by_origin, placed
from asap.backbones.paths import FlowPath, flow_shift
from asap.backbones.pipeline import PipelineBackbone, check_channels, open_pipeline
from asap.backbones.protocol import TextCondition, Window
from asap.tensors import pack, unpack

__all__ = ["Flux2Backbone", "load", "positions"]

TRAINED_GUIDANCE: Final = 1.0
"""Input of dev's guidance embedding in training, see the README."""
FEW_STEPS: Final = 4
"""Sampling steps of a klein that was distilled to few steps."""
EVERYWHERE: Final = ("to_q", "to_k", "to_v", "to_out.0", "to_qkv_mlp_proj")
"""LoRA targets in all blocks: attention to the image in double blocks, the fused input of single blocks."""


def positions(
    size: tuple[int, int], text: int, device: torch.device, origin: tuple[float, float] = (0.0, 0.0)
) -> tuple[Tensor, Tensor]:
    """(image, row, column, place in the text) of the tokens of an image (N, 4) and of a text (L, 4), float32.

    Args:
        size: rows and columns of the image.
        text: L.
        device: where the places are needed.
        origin: row and column of the image's first token.
    """
    none = torch.zeros(1, device=device)
    rows, columns, places = (torch.arange(float(count), device=device) for count in (*size, text))
    image = torch.cartesian_prod(none, rows + origin[0], columns + origin[1], none)
    return image, torch.cartesian_prod(none, none, none, places)


class Flux2Backbone(PipelineBackbone):
    """Latents of 32 channels at an eighth, unpacked outside; 2x2 of them are one token of the transformer."""

    component = "transformer"
    cell = 16
    embedded_guidance = TRAINED_GUIDANCE
    """Guidance scale that ``denoise`` passes to a model with embedded guidance (dev); klein has no such input."""

    def __init__(self, pipeline: Any, name: str, options: LoadOptions | None = None) -> None:  # noqa: ANN401
        """Wrap a ``Flux2Pipeline`` or ``Flux2KleinPipeline``; raises ``InputError`` as ``check_channels``.

        The transformer takes times from 0 to 1 and multiplies them by 1000 itself: its clock ends at 1. LoRA targets
        are the defaults of diffusers' examples/dreambooth/train_dreambooth_lora_flux2_klein.py. The output of a single
        block is named in full, because "attn.to_out" alone would also match the list that holds the output of a double
        block, which is no linear map.
        """
        check_channels(pipeline.transformer, pipeline.vae, name, cells=4)
        blocks = range(pipeline.transformer.config.num_single_layers)
        self.lora_targets = (*EVERYWHERE, *(f"single_transformer_blocks.{block}.attn.to_out" for block in blocks))
        resolution = pipeline.vae.config.sample_size
        shift = flow_shift(pipeline.scheduler.config, (resolution // self.cell) ** 2)
        super().__init__(pipeline, name, path=FlowPath(clock=1.0, shift=shift), resolution=resolution, options=options)

    # --- images and latents: the vae's own latents are normalised per channel and place in a cell of 2x2

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation, (1, 4 * C, 1, 1), of latents whose 2x2 cells are channels."""
        vae = self.pipeline.vae
        mean, variance = (value.to(like).reshape(1, -1, 1, 1) for value in (vae.bn.running_mean, vae.bn.running_var))
        return mean, (variance + vae.config.batch_norm_eps).sqrt()

    def vae_encode(self, images: Tensor) -> Tensor:
        """The mode of the posterior, normalised."""
        return self._normalise(self.pipeline.vae.encode(images).latent_dist.mode())

    def _normalise(self, latents: Tensor) -> Tensor:
        cells = F.pixel_unshuffle(latents, 2)
        mean, deviation = self._statistics(cells)
        return F.pixel_shuffle((cells - mean) / deviation, 2)

    def vae_decode(self, latents: Tensor) -> Tensor:
        """The inverse of ``vae_encode``."""
        cells = F.pixel_unshuffle(latents, 2)
        mean, deviation = self._statistics(cells)
        images: Tensor = self.pipeline.vae.decode(F.pixel_shuffle(cells * deviation + mean, 2)).sample
        return images

    def unpack(self, latents: Tensor, height: int, width: int) -> Tensor:
        """Tokens (B, N, 4 * C) as latents (B, C, h, w). Klein hands out the vae's own latents, which are normalised."""
        if latents.ndim == 3:
            return unpack(latents, self.latent_size(height, width)[1:])
        return self._normalise(latents.float())

    # --- text and denoising

    def embed(self, prompts: Sequence[str]) -> TextCondition:
        """``text`` (B, 512, 3 * D): three layers of a language model side by side; padding is attended to."""
        with torch.no_grad():
            text, _ = self.pipeline.encode_prompt(list(prompts), device=self.device)
        return TextCondition({"text": text.float()})

    def place(self, condition: TextCondition, windows: Sequence[Window]) -> TextCondition:
        """Add the origin of each row's window, which shifts the positions of its tokens."""
        return placed(super().place(condition, windows), windows, self.cell)

    def denoise(self, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        """Predicted noise - x at x_t, (B, C, h, w), float32."""
        return by_origin(self._denoise, x_t, t, condition)

    def _denoise(self, x_t: Tensor, t: Tensor, condition: TextCondition, origin: tuple[float, float]) -> Tensor:
        height, width = x_t.shape[-2:]
        text = condition.tensors["text"].to(self.device, self.dtype)
        places = positions((height // 2, width // 2), text.shape[1], self.device, origin)
        image_places, text_places = (place.expand(len(x_t), -1, -1) for place in places)
        guided = self.pipeline.transformer.config.guidance_embeds
        tokens: Tensor = self.denoiser(
            hidden_states=pack(x_t.to(self.device, self.dtype)),
            timestep=self.path.model_time(t).to(self.device),
            guidance=torch.full((len(x_t),), self.embedded_guidance, device=self.device) if guided else None,
            encoder_hidden_states=text,
            txt_ids=text_places,
            img_ids=image_places,
            return_dict=False,
        )[0]
        return unpack(tokens.float(), (height, width))

    # --- sampling

    def _call_settings(self, steps: int | None, guidance: float | None) -> dict[str, Any]:
        """A klein that was distilled to few steps takes four by default, and no guidance, which it ignores."""
        few = self.pipeline.config.get("is_distilled")
        own = {"num_inference_steps": FEW_STEPS, "guidance_scale": 1.0} if few else {}
        return {**own, **super()._call_settings(steps, guidance)}


def load(folder: Path, name: str, options: LoadOptions) -> Flux2Backbone:
    """A pipeline folder of FLUX.2 klein or dev; raises as ``open_pipeline`` and ``check_channels``."""
    return Flux2Backbone(open_pipeline(folder, options), name, options)
