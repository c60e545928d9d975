"""FLUX.1 behind the ``Backbone`` protocol."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from asap.backbones.family import LoadOptions
from asap.backbones.origins import by_origin, placed
from asap.backbones.paths import FlowPath, flow_shift
from asap.backbones.pipeline import PipelineBackbone, check_channels, open_pipeline
from asap.backbones.protocol import TextCondition, Window
from asap.tensors import pack, unpack

__all__ = ["FluxBackbone", "load", "positions"]

TRAINED_GUIDANCE: Final = 1.0
"""Input of dev's guidance embedding in training, see the README."""
LENGTHS: Final = {True: 512, False: 256}
"""Places of T5 with (dev) and without (schnell) embedded guidance."""
FEW_STEPS: Final = 4
"""Sampling steps of schnell."""


def positions(height: int, width: int, device: torch.device, origin: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    """(0, row, column) of each of height x width tokens, row by row, (N, 3) float32; the first is at ``origin``."""
    rows, columns = (torch.arange(float(count), device=device) for count in (height, width))
    return torch.cartesian_prod(torch.zeros(1, device=device), rows + origin[0], columns + origin[1])


class FluxBackbone(PipelineBackbone):
    """Latents of 16 channels at an eighth, unpacked outside; 2x2 of them are one token of the transformer."""

    component = "transformer"
    cell = 16
    lora_targets: tuple[str, ...] = (
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
    """The defaults of diffusers' examples/dreambooth/train_dreambooth_lora_flux.py: the double blocks without their
    modulation, and query, key and value of the single blocks."""
    embedded_guidance = TRAINED_GUIDANCE
    """Guidance scale that ``denoise`` passes to a guidance-distilled model; the others have no such input."""

    def __init__(self, pipeline: Any, name: str, options: LoadOptions | None = None) -> None:  # noqa: ANN401
        """Wrap a ``FluxPipeline``; raises ``InputError`` if it takes more than the image's latents.

        The transformer takes times from 0 to 1 and multiplies them by 1000 itself: its clock ends at 1.
        """
        check_channels(pipeline.transformer, pipeline.vae, name, cells=4)
        resolution = pipeline.vae.config.sample_size
        shift = flow_shift(pipeline.scheduler.config, (resolution // self.cell) ** 2)
        super().__init__(pipeline, name, path=FlowPath(clock=1.0, shift=shift), resolution=resolution, options=options)

    @property
    def distilled(self) -> bool:
        """Whether guidance is an input of the transformer (dev), not a second prediction."""
        return bool(self.pipeline.transformer.config.guidance_embeds)

    def unpack(self, latents: Tensor, height: int, width: int) -> Tensor:
        """Tokens (B, N, 4 * C) as latents (B, C, h, w)."""
        return unpack(latents, self.latent_size(height, width)[1:])

    def embed(self, prompts: Sequence[str]) -> TextCondition:
        """``text`` of T5 (B, 512 or 256, D) and ``pooled`` of CLIP (B, P); padding of T5 is attended to."""
        with torch.no_grad():
            text, pooled, _ = self.pipeline.encode_prompt(
                list(prompts), device=self.device, max_sequence_length=LENGTHS[self.distilled]
            )
        return TextCondition({"text": text.float(), "pooled": pooled.float()})

    def place(self, condition: TextCondition, windows: Sequence[Window]) -> TextCondition:
        """Add the origin of each row's window, which shifts the positions of its tokens."""
        return placed(super().place(condition, windows), windows, self.cell)

    def denoise(self, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        """Predicted noise - x at x_t, (B, C, h, w), float32."""
        return by_origin(self._denoise, x_t, t, condition)

    def _denoise(self, x_t: Tensor, t: Tensor, condition: TextCondition, origin: tuple[float, float]) -> Tensor:
        height, width = x_t.shape[-2:]
        text = condition.tensors["text"].to(self.device, self.dtype)
        guidance = torch.full((len(x_t),), self.embedded_guidance, device=self.device) if self.distilled else None
        tokens: Tensor = self.denoiser(
            hidden_states=pack(x_t.to(self.device, self.dtype)),
            timestep=self.path.model_time(t).to(self.device),
            guidance=guidance,
            pooled_projections=condition.tensors["pooled"].to(self.device, self.dtype),
            encoder_hidden_states=text,
            txt_ids=torch.zeros(text.shape[1], 3, device=self.device),
            img_ids=positions(height // 2, width // 2, self.device, origin),
            return_dict=False,
        )[0]
        return unpack(tokens.float(), (height, width))

    def _call_settings(self, steps: int | None, guidance: float | None) -> dict[str, Any]:
        """Schnell takes four steps by default, and shorter text."""
        own: dict[str, Any] = {"max_sequence_length": LENGTHS[self.distilled]}
        if not self.distilled:
            own["num_inference_steps"] = FEW_STEPS
        return {**own, **super()._call_settings(steps, guidance)}


def load(folder: Path, name: str, options: LoadOptions) -> FluxBackbone:
    """A pipeline folder of FLUX.1; raises as ``open_pipeline`` and ``check_channels``."""
    return FluxBackbone(open_pipeline(folder, options), name, options)
