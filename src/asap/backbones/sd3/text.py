"""Text of SD3: two CLIPs side by side, T5 behind them; what is absent is zeros, as the model was trained with.

Legend: B prompts, L places of CLIP (77), L' places of T5, D width of the transformer's text (joint_attention_dim).
"""

from collections.abc import Sequence
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["LENGTH", "embed"]

LENGTH: Final = 256
"""Places of T5, those of diffusers' pipeline; they are there, as zeros, also without T5."""


def embed(pipeline: Any, prompts: Sequence[str], device: torch.device) -> dict[str, Tensor]:  # noqa: ANN401
    """``text`` (B, L + L', D) and ``pooled`` (B, P), float32.

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
