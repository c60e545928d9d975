"""SDXL behind the ``Backbone`` protocol."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asap.backbones.family import LoadOptions
from asap.backbones.pipeline import open_pipeline
from asap.backbones.protocol import TextCondition, Window
from asap.backbones.unet import UnetBackbone
from asap.core.errors import InputError

__all__ = ["SDXLBackbone", "load"]

FRAME = "frame"
"""Name of the condition's tensor that ``place`` adds."""


class SDXLBackbone(UnetBackbone):
    """Two text encoders, latents of 4 channels at 1/8.

    Condition: ``text`` (B, 77, D) of both encoders, ``pooled`` (B, P) of the second, and after ``place`` ``frame``
    (B, 4): height and width of the whole image, top and left of the window. The network takes six numbers (SDXL,
    arXiv:2307.01952, section 2.2): original size, crop corner, and target size, which is that of the latents.
    """

    lora_targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    """All attention: the list of diffusers' own LoRA scripts (examples/text_to_image/train_text_to_image_lora_sdxl.py
    and examples/research_projects/diffusion_dpo/train_diffusion_dpo_sdxl.py)."""

    def __init__(self, pipeline: Any, name: str, options: LoadOptions | None = None) -> None:  # noqa: ANN401
        """Wrap a pipeline; raises ``InputError`` also for a refiner, which starts from an image."""
        unet = pipeline.unet.config
        if unet.addition_embed_type != "text_time" or None in (pipeline.text_encoder, pipeline.text_encoder_2):
            raise InputError(
                f"{name} has not the two text encoders and the sizes of an SDXL base model; align a base model"
            )
        super().__init__(pipeline, name, options)

    def embed(self, prompts: Sequence[str]) -> TextCondition:
        """The states before the last layer of both encoders side by side, and the second's pooled projection."""
        with torch.no_grad():
            states, _, pooled, _ = self.pipeline.encode_prompt(
                list(prompts), device=self.device, do_classifier_free_guidance=False
            )
        return TextCondition({"text": states.float(), "pooled": pooled.float()})

    def place(self, condition: TextCondition, windows: Sequence[Window]) -> TextCondition:
        """Add to each row the whole image's size and the window's corner."""
        unplaced = super().place(condition, windows)
        rows = [[window.whole_height, window.whole_width, window.top, window.left] for window in windows]
        like = unplaced.tensors["text"]
        frame = torch.tensor(rows, dtype=torch.float32, device=like.device)
        return TextCondition({**unplaced.tensors, FRAME: frame})

    def denoise(self, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        """What the scheduler's prediction_type says, (B, C, h, w), float32."""
        given = {name: value.to(self.device) for name, value in condition.tensors.items()}
        prediction: Tensor = self.denoiser(
            x_t.to(self.device, self.dtype),
            self.path.model_time(t),
            encoder_hidden_states=given["text"].to(self.dtype),
            added_cond_kwargs={
                "text_embeds": given["pooled"].to(self.dtype),
                "time_ids": self._sizes(x_t, given.get(FRAME)),
            },
            return_dict=False,
        )[0]
        return prediction.float()

    def _sizes(self, x_t: Tensor, frame: Tensor | None) -> Tensor:
        """The six numbers of each row, (B, 6), float32; without a frame the latents are a whole image."""
        factor = self.pipeline.vae_scale_factor
        target = torch.tensor([side * factor for side in x_t.shape[2:]], dtype=torch.float32, device=self.device)
        target = target.expand(len(x_t), 2)
        if frame is None:
            frame = torch.cat([target, torch.zeros_like(target)], dim=1)
        return torch.cat([frame, target], dim=1)


def load(folder: Path, name: str, options: LoadOptions) -> SDXLBackbone:
    """A pipeline folder, without a watermark on its images.

    Raises:
        StoreError: the folder is incomplete or unreadable.
        InputError: it is an inpainting, distilled or refining model, or its schedule is not supported.
    """
    return SDXLBackbone(open_pipeline(folder, options, add_watermarker=False), name, options)
