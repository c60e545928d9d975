"""The embedded model behind the ``Backbone`` protocol: a stock Stable Diffusion pipeline on the flow path."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asap.backbones.family import INDEX, LoadOptions, device_named, read_settings
from asap.backbones.mini.build import build_pipeline
from asap.backbones.paths import FlowPath
from asap.backbones.pipeline import PipelineBackbone, open_pipeline
from asap.backbones.protocol import TextCondition
from asap.core.errors import InputError, StoreError
from asap.tensors.precision import native_bf16, precision

__all__ = [
    "CHUNK",
    "GUIDANCE",
    "STEPS",
    "WEIGHTS",
    "MiniBackbone",
    "load",
    "load_folder",
    "load_mini",
    "load_tiny",
    "native_bf16",
]

WEIGHTS: Final = Path(__file__).parent / "weights"
"""The packaged pipeline folder."""
TINY_CAPTION: Final = "a person with pale skin raises one hand with 5 fingers on a plain grey background"
SUPPORTED: Final = (
    "a StableDiffusionPipeline with AutoencoderTiny, a scheduler of flow_prediction with use_flow_sigmas, and square "
    "latents"
)
STEPS: Final = 12
"""Sampling steps of the defaults."""
GUIDANCE: Final = 2.5
"""Classifier-free guidance scale of the defaults."""
CHUNK: Final = 8
"""Images in one pipeline call; small ones gain by company."""


class MiniBackbone(PipelineBackbone):
    """See ``asap.backbones.protocol.Backbone``. The weights stay float32; ``bf16`` computes in bfloat16.

    Its images have one size, because the denoiser was trained on nothing else.
    """

    lora_targets: tuple[str, ...] = (
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
    chunk: ClassVar[int] = CHUNK
    steps: ClassVar[int | None] = STEPS
    guidance: ClassVar[float | None] = GUIDANCE

    def __init__(self, pipeline: Any, name: str, *, bf16: bool | None = None, device: str = "cpu") -> None:  # noqa: ANN401
        """Wrap a pipeline and move it to ``device``; ``bf16`` None means: where the device multiplies in it.

        Raises:
            InputError: this machine lacks the device.
        """
        options = LoadOptions(device=device, dtype="float32").settled()
        self._bf16 = native_bf16(options.device) if bf16 is None else bf16
        self.cell = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
        super().__init__(
            pipeline.to(options.device),
            name,
            path=FlowPath(),
            resolution=self.cell,
            options=options,
        )
        pipeline.vae.to(memory_format=torch.channels_last)  # a quarter faster, measured

    @property
    def bf16(self) -> bool:
        """Whether the float32 weights are multiplied in bfloat16."""
        return self._bf16

    def set_bf16(self, on: bool) -> None:
        """Choose ``bf16``."""
        self._bf16 = on

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
            images: Tensor = vae.decode(latents / vae.config.scaling_factor).sample
        return images

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
            images = self.pipeline(prompts, generator=generators, output_type="np", **how).images
        return np.asarray(images)

    def save_pipeline(self, folder: Path) -> None:
        """Write a diffusers pipeline folder, float32; raises ``InputError`` if it cannot be written."""
        self.pipeline.vae.to(memory_format=torch.contiguous_format)  # safetensors stores contiguous tensors only
        try:
            super().save_pipeline(folder)
        finally:
            self.pipeline.vae.to(memory_format=torch.channels_last)


def load_folder(
    folder: Path, name: str | None = None, *, bf16: bool | None = None, device: str = "cpu"
) -> MiniBackbone:
    """A pipeline folder written by ``asap mini pretrain`` or ``save_pipeline``.

    Raises:
        StoreError: it is missing, incomplete or unreadable.
        InputError: it is a pipeline of another kind, or the device is absent.
    """
    if not (folder / INDEX).is_file():
        raise StoreError(f"{folder} is no diffusers pipeline folder: it has no {INDEX}")
    if faults := _unsupported(folder):
        raise InputError(f"cannot use the pipeline in {folder}: it has {', '.join(faults)}; supported is {SUPPORTED}")
    pipeline = open_pipeline(folder, LoadOptions(device="cpu", dtype="float32"), safety_checker=None)
    return MiniBackbone(pipeline, name or folder.name, bf16=bf16, device=device)


def load(folder: Path, name: str, options: LoadOptions) -> MiniBackbone:
    """As ``load_folder``; raises ``InputError`` also for another dtype or for offloading.

    The dtype ``auto`` computes in bfloat16 where the device supports it, ``float32`` never does.
    """
    if options.dtype not in ("auto", "float32") or options.offload != "none":
        raise InputError(
            f"a model of this kind is loaded in float32 and whole, not in {options.dtype} with offload "
            f"{options.offload}; leave these out"
        )
    bf16 = None if options.dtype == "auto" else False
    return load_folder(folder, name, bf16=bf16, device=device_named(options.device))


def _unsupported(folder: Path) -> list[str]:
    """What ``MiniBackbone`` does not support of a pipeline folder; read before any weights are."""
    index = read_settings(folder / INDEX)
    kind, vae = index.get("_class_name"), (index.get("vae") or [None])[-1]
    if kind != "StableDiffusionPipeline":
        return [f"the class {kind}"]
    faults = [] if vae == "AutoencoderTiny" else [f"the autoencoder {vae}"]
    clock, unet = (
        read_settings(folder / "scheduler" / "scheduler_config.json"),
        read_settings(folder / "unet" / "config.json"),
    )
    if clock.get("prediction_type") != "flow_prediction" or not clock.get("use_flow_sigmas"):
        faults.append(
            f"the scheduler {clock.get('_class_name')} with prediction_type {clock.get('prediction_type')} and "
            f"use_flow_sigmas {bool(clock.get('use_flow_sigmas'))}"
        )
    if not isinstance(unet.get("sample_size"), int):
        faults.append(f"the sample_size {unet.get('sample_size')} instead of one number")
    return faults


def load_mini(device: str = "cpu") -> MiniBackbone:
    """The packaged model; raises ``StoreError`` if the installation lacks its weights."""
    return load_folder(WEIGHTS, "mini", device=device)


def load_tiny(seed: int = 0, device: str = "cpu") -> MiniBackbone:
    """Random weights in the same architecture with a few channels, 32x32 pixels; for tests, float32 throughout."""
    return MiniBackbone(build_pipeline("tiny", [TINY_CAPTION], seed), "tiny", bf16=False, device=device)
