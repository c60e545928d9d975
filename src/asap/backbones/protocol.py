"""What every model family offers, so that training and sampling know none of them. B prompts, (C, h, w) latents."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from asap.backbones.paths import NoisePath
from asap.core.errors import InputError

__all__ = ["Backbone", "TextCondition", "Window", "adapter_disabled"]


@dataclass(frozen=True, kw_only=True)
class Window:
    """Which part of a whole image the model is shown, in pixels of the model's scale."""

    top: int
    left: int
    whole_height: int
    """Of the image that the window was cut from."""
    whole_width: int


@dataclass(frozen=True)
class TextCondition:
    """What a denoiser needs of B prompts: named tensors whose first axis is B (embeddings, pooled embeddings...)."""

    tensors: Mapping[str, Tensor]

    def __len__(self) -> int:
        """B."""
        return next(iter(self.tensors.values())).shape[0]

    def index(self, rows: Sequence[int] | Tensor) -> "TextCondition":
        """The given rows, in that order."""
        chosen = torch.as_tensor(rows, dtype=torch.long)
        return TextCondition({name: tensor[chosen] for name, tensor in self.tensors.items()})

    def repeat(self, times: int) -> "TextCondition":
        """All rows, ``times`` over: a, b, a, b for 2."""
        return TextCondition({k: v.repeat(times, *([1] * (v.ndim - 1))) for k, v in self.tensors.items()})

    def detach(self) -> "TextCondition":
        """The same values without their graph."""
        return TextCondition({name: tensor.detach() for name, tensor in self.tensors.items()})

    @staticmethod
    def concat(parts: Sequence["TextCondition"]) -> "TextCondition":
        """Rows of all parts, one after the other; raises ``InputError`` for none or for unlike names."""
        if not parts or any(set(part.tensors) != set(parts[0].tensors) for part in parts):
            raise InputError("text conditions can be joined only if there is at least one and all have the same names")
        return TextCondition({name: torch.cat([p.tensors[name] for p in parts]) for name in parts[0].tensors})


class Backbone(Protocol):
    """A text-to-image model with the parts that alignment touches. Everything runs on one device."""

    name: str
    resolution: int
    """Height and width of its images in pixels."""
    cell: int
    """Sides of images, and where windows begin, are multiples of it, in pixels."""
    latent_shape: tuple[int, int, int]
    """(C, h, w) of an image of ``resolution``."""
    path: NoisePath
    denoiser: nn.Module
    """What is trained; a diffusers model with ``add_adapter``."""
    lora_targets: tuple[str, ...]
    """Names of the linear maps that a LoRA goes on, as peft's ``target_modules``."""

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
        """Say of which window of a whole image each row is; unchanged where a family has no means to say so."""
        ...

    def denoise(self, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        """Prediction (B, C, h, w), float32, at t (B,) in [0, 1]; what it predicts is the path's affair."""
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
        """Images (B, H, W, 3), uint8, ``resolution`` on a side that is not given.

        Image i depends on prompt i and seed i alone.
        """
        ...

    def save_lora(self, folder: Path) -> None:
        """Write the denoiser's adapter as ``load_lora_weights`` of diffusers reads it."""
        ...

    def load_lora(self, folder: Path) -> None:
        """Put an adapter on the denoiser; raises ``InputError`` if the folder holds none that fits."""
        ...

    def save_pipeline(self, folder: Path) -> None:
        """Write the whole model as a folder that ``DiffusionPipeline.from_pretrained`` reads."""
        ...


@contextmanager
def adapter_disabled(backbone: Backbone) -> Iterator[None]:
    """Inside, the denoiser is the reference: its adapter is off. It is on again afterwards, also after an error.

    Raises:
        InputError: the denoiser has no adapter, so there is no reference inside it.
    """
    denoiser = backbone.denoiser
    if not getattr(denoiser, "peft_config", None):
        raise InputError(f"the denoiser of {backbone.name} has no adapter to switch off; add one or copy the reference")
    denoiser.disable_adapters()  # type: ignore[operator]
    try:
        yield
    finally:
        denoiser.enable_adapters()  # type: ignore[operator]
