"""A backbone without networks, to be given the behaviour that a test needs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asap.backbones.paths import FlowPath, NoisePath
from asap.backbones.protocol import TextCondition, Window

__all__ = ["FakeBackbone"]


class FakeBackbone:
    """Its latents are its images, its text is nothing, and it predicts nothing; ``sample`` is left to the test."""

    name = "fake"
    resolution = 16
    cell = 1
    latent_shape = (3, 16, 16)
    path: NoisePath = FlowPath()
    lora_targets: tuple[str, ...] = ()
    bf16 = False

    def __init__(self) -> None:
        self.denoiser: nn.Module = nn.Identity()

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        return {"denoiser": self.denoiser}

    def set_bf16(self, on: bool) -> None:
        del on

    def latent_size(self, height: int, width: int) -> tuple[int, int, int]:
        return 3, height, width

    def encode(self, images: Tensor) -> Tensor:
        return images

    def decode(self, latents: Tensor) -> Tensor:
        return latents

    def embed(self, prompts: Sequence[str]) -> TextCondition:
        return TextCondition({"words": torch.zeros(len(prompts), 1)})

    def place(self, condition: TextCondition, windows: Sequence[Window]) -> TextCondition:
        del windows
        return condition

    def denoise(self, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        del t, condition
        return torch.zeros_like(x_t)

    def sample(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        steps: int | None = None,
        guidance: float | None = None,
        height: int | None = None,
        width: int | None = None,
    ) -> np.ndarray[Any, np.dtype[np.uint8]]:
        raise NotImplementedError

    def fuse_lora(self) -> None:
        raise NotImplementedError

    def save_lora(self, folder: Path) -> None:
        raise NotImplementedError

    load_lora = save_pipeline = save_lora
