"""Qwen-Image behind the ``Backbone`` protocol: packed tokens, a video autoencoder, text of any length."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from asap.backbones.family import LoadOptions
from asap.backbones.paths import FlowPath, flow_shift
from asap.backbones.pipeline import PipelineBackbone, open_pipeline
from asap.backbones.protocol import TextCondition
from asap.backbones.text import padded, trimmed
from asap.core.errors import InputError
from asap.tensors import pack, unpack

__all__ = ["QwenImageBackbone", "load"]

LENGTH: Final = 512
"""Most tokens of a prompt, the pipeline's default."""
CLOCK: Final = 1000.0
"""The transformer takes times from 0 to 1 and multiplies them by this itself; the scheduler's are multiplied."""
NO_PROMPT: Final = " "
"""What guidance leads away from; the model's authors recommend a blank, and without any the pipeline does not guide."""


class QwenImageBackbone(PipelineBackbone):
    """Latents are kept unpacked and without the autoencoder's frame axis; see README.md."""

    component = "transformer"
    cell = 16
    lora_targets: tuple[str, ...] = ("to_k", "to_q", "to_v", "to_out.0")
    """The image stream's attention in every block: the default of diffusers (examples/dreambooth,
    train_dreambooth_lora_qwen_image.py) and SimpleTuner (helpers/models/qwen_image/model.py, DEFAULT_LORA_TARGET)."""

    def __init__(self, pipeline: Any, name: str, options: LoadOptions) -> None:  # noqa: ANN401
        """Wrap a ``QwenImagePipeline``."""
        own = pipeline.default_sample_size * pipeline.vae_scale_factor
        resolution = pipeline.vae.config.get("sample_size") or own  # kept by diffusers if a config has it
        shift = flow_shift(pipeline.scheduler.config, (resolution // self.cell) ** 2)
        super().__init__(
            pipeline,
            name,
            path=FlowPath(shift=shift),
            resolution=resolution,
            options=options,
        )

    @property
    def channels(self) -> int:
        """C of a latent."""
        return int(self.pipeline.vae.config.z_dim)

    def vae_encode(self, images: Tensor) -> Tensor:
        """One frame each, with the statistics of each channel taken out."""
        latents: Tensor = self.pipeline.vae.encode(images[:, :, None]).latent_dist.mode()[:, :, 0]
        mean, deviation = self._statistics(latents)
        return (latents - mean) / deviation

    def vae_decode(self, latents: Tensor) -> Tensor:
        """The inverse of ``vae_encode``."""
        mean, deviation = self._statistics(latents)
        images: Tensor = self.pipeline.vae.decode((latents * deviation + mean)[:, :, None]).sample[:, :, 0]
        return images

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each channel, (C, 1, 1)."""
        config = self.pipeline.vae.config
        values = torch.stack([like.new_tensor(config.latents_mean), like.new_tensor(config.latents_std)])
        mean, deviation = values[:, :, None, None].unbind(0)
        return mean, deviation

    def unpack(self, latents: Tensor, height: int, width: int) -> Tensor:
        """Tokens (B, N, 4 * C) as latents."""
        return unpack(latents, self.latent_size(height, width)[1:])

    def embed(self, prompts: Sequence[str]) -> TextCondition:
        """``text`` and ``mask`` of ``LENGTH`` tokens; each prompt is embedded alone, so it depends on no other."""
        with torch.no_grad():
            texts = [
                self.pipeline.encode_prompt([prompt], device=self.device, max_sequence_length=LENGTH)[0][0]
                for prompt in prompts
            ]
        return padded(texts, LENGTH)

    def denoise(self, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        """Predicted noise - x at x_t, (B, C, h, w), float32."""
        text, mask = trimmed(condition)
        height, width = x_t.shape[-2:]
        prediction: Tensor = self.denoiser(
            hidden_states=pack(x_t.to(self.device, self.dtype)),
            timestep=self.path.model_time(t).to(self.device) / CLOCK,
            encoder_hidden_states=text.to(self.device, self.dtype),
            encoder_hidden_states_mask=None if bool(mask.all()) else mask.to(self.device),
            img_shapes=[[(1, height // 2, width // 2)]] * len(x_t),
            return_dict=False,
        )[0]
        return unpack(prediction.float(), (height, width))

    def _call_settings(self, steps: int | None, guidance: float | None) -> dict[str, Any]:
        """Guidance is ``true_cfg_scale`` and needs a negative prompt; ``guidance_scale`` is for distilled models.

        Raises:
            InputError: fewer than two steps, for which a scheduler with ``shift_terminal`` gives no finite values.
        """
        how = super()._call_settings(steps, guidance)
        if how.get("num_inference_steps", 2) < 2:
            raise InputError(f"{self.name} needs at least 2 steps to draw an image, got {steps}")
        if "guidance_scale" in how:
            how["true_cfg_scale"] = how.pop("guidance_scale")
        return how if how.get("true_cfg_scale", 4.0) <= 1 else {**how, "negative_prompt": NO_PROMPT}


def load(folder: Path, name: str, options: LoadOptions) -> QwenImageBackbone:
    """A pipeline folder of Qwen-Image; raises as ``open_pipeline``."""
    return QwenImageBackbone(open_pipeline(folder, options), name, options)
