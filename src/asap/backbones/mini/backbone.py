"""The embedded model behind the ``Backbone`` protocol: a stock Stable Diffusion pipeline on the flow path."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asap.backbones.family import LoadOptions
from asap.backbones.paths import FlowPath
from asap.backbones.pipeline import PipelineBackbone
from asap.backbones.protocol import TextCondition
from asap.core.errors import InputError
from asap.tensors.precision import native_bf16, precision

__all__ = ["CHUNK", "GUIDANCE", "STEPS", "MiniBackbone", "native_bf16"]

STEPS: Final = 12
"""Sampling steps of the defaults."""
GUIDANCE: Final = 2.5
"""Classifier-free guidance scale of the defaults."""
CHUNK: Final = 8
"""Images in one pipeline call; small ones gain by company."""
LORA_TARGETS: Final = (
    "to_q",
    "to_k",
    "to_v",
    "to_out.0",
    "ff.net.0.proj",
    "ff.net.2",
    "proj_in",
    "proj_out",
    "conv1",
    "conv2",
    "time_emb_proj",
)
"""Attention alone sits at the coarsest level only; fingers are drawn by the residual blocks."""


class MiniBackbone(PipelineBackbone):
    """See ``asap.backbones.protocol.Backbone``. The weights stay float32; ``bf16`` computes in bfloat16.

    Its images have one size, because the denoiser was trained on nothing else.
    """

    chunk: ClassVar[int] = CHUNK
    steps: ClassVar[int | None] = STEPS
    guidance: ClassVar[float | None] = GUIDANCE

    def __init__(self, pipeline: Any, name: str, *, bf16: bool | None = None, device: str = "cpu") -> None:  # noqa: ANN401
        """Wrap a pipeline and move it to ``device``; ``bf16`` None means: where the device multiplies in it.

        Raises:
            InputError: this machine lacks the device.
        """
        options = LoadOptions(device=device, dtype="float32").settled()
        self.bf16 = native_bf16(options.device) if bf16 is None else bf16
        self.cell = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
        super().__init__(
            pipeline.to(options.device),
            name,
            path=FlowPath(),
            lora_targets=LORA_TARGETS,
            resolution=self.cell,
            options=options,
        )
        pipeline.vae.to(memory_format=torch.channels_last)  # a quarter faster, measured

    def precision(self) -> AbstractContextManager[object]:
        """Context in which the networks run."""
        return precision(self.bf16, self.device)

    def latent_size(self, height: int, width: int) -> tuple[int, int, int]:
        """(C, h, w) of an image of the one size; raises ``InputError`` for another."""
        if (height, width) != (self.cell, self.cell):
            raise InputError(
                f"{self.name} reads images (B, 3, {self.cell}, {self.cell}), got {height}x{width}; resize them first"
            )
        unet = self.pipeline.unet.config
        return unet.in_channels, unet.sample_size, unet.sample_size

    def vae_encode(self, images: Tensor) -> Tensor:
        """Float32 always: the encoder is cheap, and its latents are what training compares."""
        vae = self.pipeline.vae
        latents: Tensor = vae.encode(images).latents.float() * vae.config.scaling_factor
        return latents

    def vae_decode(self, latents: Tensor) -> Tensor:
        """In the networks' precision."""
        vae = self.pipeline.vae
        with self.precision():
            pictures: Tensor = vae.decode(latents / vae.config.scaling_factor).sample
        return pictures

    def tokenize(self, prompts: Sequence[str]) -> Tensor:
        """Token ids (B, L), int64, on the CPU, padded or cut to the encoder's length."""
        tokenizer = self.pipeline.tokenizer
        ids: Tensor = tokenizer(
            list(prompts),
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        return ids

    def embed(self, prompts: Sequence[str]) -> TextCondition:
        """One tensor, ``text`` (B, L, D), float32."""
        with torch.no_grad(), self.precision():
            states: Tensor = self.pipeline.text_encoder(self.tokenize(prompts).to(self.device))[0]
        return TextCondition({"text": states.float()})

    def denoise(self, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        """Predicted noise - x at x_t, (B, C, h, w), float32."""
        with self.precision():
            prediction: Tensor = self.denoiser(
                x_t.to(self.device),
                self.path.model_time(t.to(self.device)),
                encoder_hidden_states=condition.tensors["text"].to(self.device),
                return_dict=False,
            )[0]
        return prediction.float()

    def call(
        self, prompts: list[str], generators: list[torch.Generator], size: tuple[int, int], how: Mapping[str, Any]
    ) -> npt.NDArray[np.floating[Any]]:
        """The whole pipeline in the networks' precision."""
        del size
        with self.precision():
            pictures = self.pipeline(prompts, generator=generators, output_type="np", **how).images
        return np.asarray(pictures)

    def save_pipeline(self, folder: Path) -> None:
        """Write a diffusers pipeline folder, float32; raises ``InputError`` if it cannot be written."""
        self.pipeline.vae.to(memory_format=torch.contiguous_format)  # safetensors stores contiguous tensors only
        try:
            super().save_pipeline(folder)
        finally:
            self.pipeline.vae.to(memory_format=torch.channels_last)
