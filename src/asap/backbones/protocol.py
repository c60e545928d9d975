"""The protocol of model families: training and sampling use it and know no family. B prompts, (C, h, w) latents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from asap.backbones.paths import NoisePath

__all__ = ["Backbone", "TextCondition", "Window"]


@dataclass(frozen=True, kw_only=True)
class Window:
    """A part of a whole image that the model receives, in pixels at the model's scale."""

    top: int
    left: int
    whole_height: int
    """Height of the image that the window was cut from, and below its width."""
    whole_width: int


@dataclass(frozen=True)
class TextCondition:
    """The conditioning of B prompts: named tensors whose first axis is B (embeddings, pooled embeddings, masks)."""

    tensors: Mapping[str, Tensor]

    def __len__(self) -> int:
        """B."""
        return next(iter(self.tensors.values())).shape[0]

    def index(self, rows: Sequence[int] | Tensor) -> "TextCondition":
        """The given rows, in that order."""
        chosen = torch.as_tensor(rows, dtype=torch.long)
        return TextCondition({name: tensor[chosen] for name, tensor in self.tensors.items()})

    def repeat(self, times: int) -> "TextCondition":
        """All rows ``times`` times: a, b, a, b for 2."""
        return TextCondition({k: v.repeat(times, *([1] * (v.ndim - 1))) for k, v in self.tensors.items()})

    def detach(self) -> "TextCondition":
        """The same values without their graph."""
        return TextCondition({name: tensor.detach() for name, tensor in self.tensors.items()})


class Backbone(Protocol):
    """A text-to-image model with the parts that alignment needs. All of it runs on one device."""

    name: str
    resolution: int
    """Height and width in pixels of the images that it was trained on."""
    cell: int
    """Pixels; sides of images, and the corners of windows, are multiples of it."""
    latent_shape: tuple[int, int, int]
    """(C, h, w) of an image of ``resolution``."""
    path: NoisePath
    denoiser: nn.Module
    """The network that is trained; a diffusers model with ``add_adapter``."""
    lora_targets: tuple[str, ...]
    """Names of the linear maps that get a LoRA, as peft's ``target_modules``."""

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """All parts with weights by name: the denoiser, the autoencoder, the text encoders."""
        ...

    @property
    def bf16(self) -> bool:
        """Whether float32 weights are multiplied in bfloat16; see ``set_bf16``."""
        ...

    def set_bf16(self, on: bool) -> None:
        """Choose ``bf16``; a family whose weights are loaded in another dtype ignores it and keeps False."""
        ...

    def latent_size(self, height: int, width: int) -> tuple[int, int, int]:
        """(C, h, w) of an image's latents; raises ``InputError`` for a size that it does not take."""
        ...

    def encode(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] as latents (B, C, h, w), float32, of about unit variance; deterministic."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Latents as images (B, 3, H, W), float32 in about [-1, 1]."""
        ...

    def embed(self, prompts: Sequence[str]) -> TextCondition:
        """Text conditions of B prompts, without graph."""
        ...

    def place(self, condition: TextCondition, windows: Sequence[Window]) -> TextCondition:
        """Add to each row the window of the whole image that it shows; unchanged for a family without such an input."""
        ...

    def denoise(self, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        """Prediction (B, C, h, w), float32, at t (B,) in [0, 1]; ``path`` defines what is predicted."""
        ...

    def sample(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        steps: int | None = None,
        guidance: float | None = None,
        height: int | None = None,
        width: int | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Images (B, H, W, 3), uint8; a side that is not given is ``resolution``.

        Image i depends on prompt i and seed i alone.
        """
        ...

    def save_lora(self, folder: Path) -> None:
        """Write the denoiser's adapter as ``load_lora_weights`` of diffusers reads it."""
        ...

    def load_lora(self, folder: Path) -> None:
        """Put an adapter on the denoiser; raises ``InputError`` if the folder holds none that fits."""
        ...

    def fuse_lora(self) -> None:
        """Merge the denoiser's adapter into its weights; without an adapter nothing happens."""
        ...

    def save_pipeline(self, folder: Path) -> None:
        """Write the whole model as a folder that ``DiffusionPipeline.from_pretrained`` reads."""
        ...
