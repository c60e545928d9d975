"""Stable Diffusion 3 and 3.5 behind the ``Backbone`` protocol.

Legend of the text: B prompts, L places of CLIP (77), L' places of T5, D width of the transformer's text.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from asap.backbones.family import INDEX, LoadOptions, read_settings
from asap.backbones.paths import FlowPath, flow_shift
from asap.backbones.pipeline import PipelineBackbone, check_channels, open_pipeline
from asap.backbones.protocol import TextCondition
from asap.core.errors import InputError

__all__ = ["LENGTH", "Sd3Backbone", "load"]

LENGTH: Final = 256
"""Places of T5, those of diffusers' pipeline; they are there, as zeros, also without T5."""
OPTIONAL: Final = tuple(part + suffix for part in ("text_encoder", "tokenizer") for suffix in ("", "_2", "_3"))
"""Parts that a folder may lack; its index then says null."""
SD3: Final = (28, 7.0)
MEDIUM: Final = (40, 4.5)
LARGE: Final = (28, 3.5)
"""Steps and guidance of SD3 medium, SD3.5 medium and SD3.5 large."""


class Sd3Backbone(PipelineBackbone):
    """Latents of 16 channels at an eighth; the transformer cuts them into patches of 2x2 by itself."""

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
    )
    """The defaults of diffusers' examples/dreambooth/train_dreambooth_lora_sd3.py: the joint attention of images (to_*)
    and text (add_*), without the second attention of 3.5 medium (attn2)."""

    def __init__(self, pipeline: Any, name: str, options: LoadOptions | None = None) -> None:  # noqa: ANN401
        """Wrap a ``StableDiffusion3Pipeline``; raises ``InputError`` if it takes more than the image's latents."""
        check_channels(pipeline.transformer, pipeline.vae, name)
        resolution = pipeline.transformer.config.sample_size * pipeline.vae_scale_factor
        shift = flow_shift(pipeline.scheduler.config, (resolution // self.cell) ** 2)
        super().__init__(pipeline, name, path=FlowPath(shift=shift), resolution=resolution, options=options)

    def latent_size(self, height: int, width: int) -> tuple[int, int, int]:
        """(C, h, w); raises ``InputError`` also for images larger than the table of positions."""
        largest = self.pipeline.transformer.config.pos_embed_max_size * self.cell
        if max(height, width) > largest:
            raise InputError(f"{self.name} takes images up to {largest} a side, got {height}x{width}; resize them")
        return super().latent_size(height, width)

    def embed(self, prompts: Sequence[str]) -> TextCondition:
        """``text`` (B, 77 + 256, D) and ``pooled`` (B, P)."""
        with torch.no_grad():
            return TextCondition(_embed(self.pipeline, prompts, self.device))

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

    def _call_settings(self, steps: int | None, guidance: float | None) -> dict[str, Any]:
        """Steps and guidance of the model cards, told apart by query-key norm (3.5) and second attention (medium)."""
        settings = self.pipeline.transformer.config
        card = SD3 if not settings.qk_norm else MEDIUM if settings.dual_attention_layers else LARGE
        named = dict(zip(("num_inference_steps", "guidance_scale"), card, strict=True))
        return {**named, **super()._call_settings(steps, guidance)}

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


def load(folder: Path, name: str, options: LoadOptions) -> Sd3Backbone:
    """A pipeline folder of SD3 or SD3.5; raises as ``open_pipeline`` and ``check_channels``."""
    return Sd3Backbone(open_pipeline(folder, options, **_absent(read_settings(folder / INDEX))), name, options)


def _absent(index: Mapping[str, Any]) -> dict[str, Any]:
    """Absent parts by name; diffusers reports them as a fault of the folder unless they are given as None."""
    return {part: None for part in OPTIONAL if not any(index.get(part) or [])}


def _embed(pipeline: Any, prompts: Sequence[str], device: torch.device) -> dict[str, Tensor]:  # noqa: ANN401
    """``text`` (B, L + L', D) and ``pooled`` (B, P), float32; zeros for an absent encoder, as in training.

    Any of the three encoders may be None. The prompts are not weighted; what is longer than an encoder takes is cut.
    """
    settings = pipeline.transformer.config
    total, places = settings.pooled_projection_dim, pipeline.tokenizer_max_length
    known = [_clip(pipeline, suffix, prompts, device) for suffix in ("", "_2")]
    missing = total - sum(pooled.shape[-1] for _, pooled in filter(None, known))
    states, pooled = zip(*(found or _zeros(len(prompts), places, missing, device) for found in known), strict=True)
    width = settings.joint_attention_dim
    both = torch.cat([state[..., :width] for state in states], dim=-1)[..., :width]
    text = torch.cat([F.pad(both, (0, width - both.shape[-1])), _t5(pipeline, prompts, width, device)], dim=1)
    return {"text": text, "pooled": torch.cat(pooled, dim=-1)[..., :total]}


def _clip(pipeline: Any, suffix: str, prompts: Sequence[str], device: torch.device) -> tuple[Tensor, Tensor] | None:  # noqa: ANN401
    """States (B, L, D') of the layer before the last, and projected text (B, D''); None if the encoder is absent."""
    encoder, tokenizer = (getattr(pipeline, part + suffix) for part in ("text_encoder", "tokenizer"))
    if encoder is None:
        return None
    ids = tokenizer(
        list(prompts),
        padding="max_length",
        max_length=pipeline.tokenizer_max_length,
        truncation=True,
        return_tensors="pt",
    ).input_ids
    found = encoder(ids.to(device), output_hidden_states=True)
    return found.hidden_states[-2].float(), found.text_embeds.float()


def _zeros(count: int, places: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """In place of an absent CLIP; states and projection are equally wide in both of SD3's."""
    return torch.zeros(count, places, width, device=device), torch.zeros(count, width, device=device)


def _t5(pipeline: Any, prompts: Sequence[str], width: int, device: torch.device) -> Tensor:  # noqa: ANN401
    """(B, L', D); padding is attended to, as in training."""
    if pipeline.text_encoder_3 is None:
        return torch.zeros(len(prompts), LENGTH, width, device=device)
    ids = pipeline.tokenizer_3(
        list(prompts), padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt"
    ).input_ids
    states: Tensor = pipeline.text_encoder_3(ids.to(device))[0]
    return states.float()
