"""The embedded model behind the ``Backbone`` protocol: a stock Stable Diffusion pipeline on the flow path."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from diffusers import StableDiffusionPipeline
from peft.utils import get_peft_model_state_dict
from safetensors import SafetensorError
from torch import Tensor, nn

from asap.backbones.paths import FlowPath, NoisePath
from asap.backbones.protocol import TextCondition
from asap.core.errors import InputError
from asap.core.files import make_folder
from asap.tensors.precision import native_bf16, precision

__all__ = ["GUIDANCE", "STEPS", "MiniBackbone", "native_bf16"]

STEPS: Final = 12
"""Sampling steps of the defaults."""
GUIDANCE: Final = 2.5
"""Classifier-free guidance scale of the defaults."""
CHUNK: Final = 8
"""Pictures in one pipeline call. It is fixed, and a last call is padded to it, because the CPU's matrix kernels may
round differently at another batch size: so a picture does not depend on how many others were asked for."""
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


class MiniBackbone:
    """See ``asap.backbones.protocol.Backbone``. The weights stay float32; ``bf16`` computes in bfloat16."""

    def __init__(self, pipeline: Any, name: str, *, bf16: bool | None = None) -> None:  # noqa: ANN401
        """Wrap a pipeline; ``bf16`` None means: where the processor has it."""
        self.name = name
        self.pipeline = pipeline
        self.pipeline.set_progress_bar_config(disable=True)
        self.bf16 = native_bf16() if bf16 is None else bf16
        self.path: NoisePath = FlowPath()
        self.lora_targets: tuple[str, ...] = LORA_TARGETS
        self.denoiser: nn.Module = pipeline.unet
        unet = pipeline.unet.config
        self.latent_shape: tuple[int, int, int] = (unet.in_channels, unet.sample_size, unet.sample_size)
        self.resolution: int = unet.sample_size * pipeline.vae_scale_factor
        pipeline.vae.to(memory_format=torch.channels_last)  # a quarter faster, measured
        for module in (pipeline.vae, pipeline.text_encoder):
            module.requires_grad_(False)

    def precision(self) -> AbstractContextManager[object]:
        """Context in which the networks run."""
        return precision(self.bf16)

    def encode(self, images: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1] as latents (B, C, h, w), float32.

        Raises:
            InputError: the pictures are not of the model's resolution.
        """
        if tuple(images.shape[1:]) != (3, self.resolution, self.resolution):
            raise InputError(
                f"{self.name} reads pictures (B, 3, {self.resolution}, {self.resolution}), got {tuple(images.shape)}; "
                "resize them first"
            )
        vae = self.pipeline.vae
        with torch.no_grad():  # float32 always: the encoder is cheap, and its latents are what training compares
            latents: Tensor = vae.encode(images).latents.float() * vae.config.scaling_factor
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Latents as pictures (B, 3, H, W), float32, clipped to [-1, 1]."""
        vae = self.pipeline.vae
        with torch.no_grad(), self.precision():
            pictures: Tensor = vae.decode(latents / vae.config.scaling_factor).sample
        return pictures.float().clamp(-1.0, 1.0)

    def tokenize(self, prompts: Sequence[str]) -> Tensor:
        """Token ids (B, L), int64, padded or cut to the encoder's length."""
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
            states: Tensor = self.pipeline.text_encoder(self.tokenize(prompts))[0]
        return TextCondition({"text": states.float()})

    def denoise(self, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        """Predicted noise - x at x_t, (B, C, h, w), float32."""
        with self.precision():
            prediction: Tensor = self.denoiser(
                x_t, self.path.model_time(t), encoder_hidden_states=condition.tensors["text"], return_dict=False
            )[0]
        return prediction.float()

    def sample(
        self, prompts: Sequence[str], seeds: Sequence[int], *, steps: int | None = None, guidance: float | None = None
    ) -> npt.NDArray[np.uint8]:
        """Pictures (B, H, W, 3), uint8, through the pipeline's own call with one generator a picture.

        Raises:
            InputError: there are not as many seeds as prompts.
        """
        if len(prompts) != len(seeds):
            raise InputError(f"wanted one seed a prompt, got {len(prompts)} prompts and {len(seeds)} seeds")
        chunks = [
            self._sample_chunk(prompts[k : k + CHUNK], seeds[k : k + CHUNK], steps or STEPS, guidance)
            for k in range(0, len(prompts), CHUNK)
        ]
        if not chunks:
            return np.zeros((0, self.resolution, self.resolution, 3), dtype=np.uint8)
        return np.concatenate(chunks)

    def _sample_chunk(
        self, prompts: Sequence[str], seeds: Sequence[int], steps: int, guidance: float | None
    ) -> npt.NDArray[np.uint8]:
        """At most ``CHUNK`` pictures; the call is padded with empty prompts to exactly that many."""
        missing = CHUNK - len(prompts)
        generators = [torch.Generator().manual_seed(int(seed)) for seed in [*seeds, *([0] * missing)]]
        with torch.no_grad(), self.precision():
            pictures = self.pipeline(
                [*prompts, *([""] * missing)],
                num_inference_steps=steps,
                guidance_scale=GUIDANCE if guidance is None else guidance,
                generator=generators,
                output_type="np",
            ).images
        whole: npt.NDArray[np.uint8] = (pictures[: len(prompts)] * 255.0).round().astype(np.uint8)
        return whole

    def save_lora(self, folder: Path) -> None:
        """Write the adapter in diffusers format, with its rank and scale as metadata.

        Raises:
            InputError: the denoiser has no adapter, or the folder cannot be written.
        """
        config = getattr(self.denoiser, "peft_config", None)
        if not config:
            raise InputError(f"the denoiser of {self.name} has no adapter to save")
        make_folder(folder)
        # peft's own key names: diffusers' converter renames the attention's keys only and its loader then drops them
        state = get_peft_model_state_dict(self.denoiser)
        adapter = next(iter(config.values()))
        try:
            StableDiffusionPipeline.save_lora_weights(
                str(folder), unet_lora_layers=state, unet_lora_adapter_metadata=adapter.to_dict()
            )
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"cannot write the adapter to {folder}: {reason}") from error

    def load_lora(self, folder: Path) -> None:
        """Put the adapter of a folder on the denoiser, as its only one.

        Raises:
            InputError: the folder holds no adapter for this model.
        """
        if getattr(self.denoiser, "peft_config", None):
            self.pipeline.unload_lora_weights()
        try:
            self.pipeline.load_lora_weights(str(folder))
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{folder} holds no adapter for {self.name}: {reason}") from error

    def save_pipeline(self, folder: Path) -> None:
        """Write a diffusers pipeline folder, float32; raises ``InputError`` if it cannot be written."""
        make_folder(folder)
        self.pipeline.vae.to(memory_format=torch.contiguous_format)  # safetensors stores contiguous tensors only
        try:
            self.pipeline.save_pretrained(str(folder))
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"cannot write the pipeline to {folder}: {reason}") from error
        finally:
            self.pipeline.vae.to(memory_format=torch.channels_last)
