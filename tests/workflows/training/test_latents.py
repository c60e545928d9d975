"""How images become latents: how many at once, and through which filter."""

from typing import cast

import numpy as np
import torch

from asap.backbones import Backbone
from asap.workflows.training.latents import _latents, _resized


class Recorder:
    """Stands for a backbone; its latents are the images' means."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        self.calls.append(len(images))
        return images.mean((1, 2, 3), keepdim=True)


def test_large_images_are_encoded_two_at_a_time() -> None:
    images = [np.full((1024, 1024, 3), 50 * index, np.uint8) for index in range(5)]
    backbone = Recorder()
    latents = _latents(images, (1024, 1024), cast("Backbone", backbone))
    assert backbone.calls == [2, 2, 1]
    assert latents.flatten().diff().gt(0).all()


def test_an_image_above_the_limit_is_encoded_alone() -> None:
    backbone = Recorder()
    _latents([np.zeros((2048, 2048, 3), np.uint8)] * 2, (2048, 2048), cast("Backbone", backbone))
    assert backbone.calls == [1, 1]


def test_a_slight_reduction_keeps_fine_detail() -> None:
    """At 0.4 cycles per pixel Lanczos keeps 80 % of the amplitude, the mean of the covered pixels 31 %."""
    wave = 127.5 + 100 * np.sin(2 * np.pi * 0.4 * np.arange(1056))
    image = np.repeat(np.tile(wave.round().astype(np.uint8), (8, 1))[..., None], 3, axis=2)
    small = _resized(image, (8, 1024)).astype(np.float64)[0, 16:-16, 0]
    assert (small - small.mean()).std() * 2**0.5 > 75
    assert _resized(image, (8, 1056)) is image
