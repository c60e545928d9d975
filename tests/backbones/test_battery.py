"""The battery notices what it is there for: each fault below must fall to the part that is named beside it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from asap.backbones import TextCondition
from asap.backbones.pipeline import PipelineBackbone
from tests.backbones import battery
from tests.backbones.tiny import sdxl

Fault = Callable[[PipelineBackbone, pytest.MonkeyPatch], None]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> PipelineBackbone:
    """Without a fault it passes, as ``test_families.py`` shows."""
    root = tmp_path_factory.mktemp("battery") / "sdxl"
    sdxl.build(root)
    return battery.open_tiny(root)


def wrapped(name: str, change: Callable[..., Any]) -> Fault:
    """The method ``name`` replaced by ``change(original, *its arguments)``."""

    def fault(backbone: PipelineBackbone, patch: pytest.MonkeyPatch) -> None:
        original = getattr(backbone, name)
        patch.setattr(backbone, name, lambda *args, **kwargs: change(original, *args, **kwargs))

    return fault


def swapped(condition: TextCondition) -> TextCondition:
    return TextCondition({**condition.tensors, "pooled": condition.tensors["pooled"].flip(0)})


def drawn(backbone: PipelineBackbone, patch: pytest.MonkeyPatch) -> None:
    def encode(images: Tensor) -> Tensor:
        vae = backbone.pipeline.vae
        posterior = vae.encode(images).latent_dist
        drawn: Tensor = posterior.sample(torch.Generator().manual_seed(0)) * vae.config.scaling_factor
        return drawn

    patch.setattr(backbone, "vae_encode", encode)


def one_generator(original: Any, prompts: list[str], generators: list[torch.Generator], *rest: Any) -> Any:
    return original(prompts, [torch.Generator().manual_seed(0) for _ in generators], *rest)


FAULTS: dict[str, tuple[str, Fault]] = {
    "a step late": (
        "denoise_is_the_pipelines",
        wrapped("denoise", lambda original, x, t, c: original(x, t - 1e-3, c)),
    ),
    "text of the other row": (
        "denoise_is_the_pipelines",
        wrapped("denoise", lambda original, x, t, c: original(x, t, swapped(c))),
    ),
    "sign": ("denoise_is_the_pipelines", wrapped("denoise", lambda original, *rest: -original(*rest))),
    "no scale": ("denoise_is_the_pipelines", wrapped("denoise", lambda original, x, t, c: original(x * 1.001, t, c))),
    "sides swapped": (
        "denoise_is_the_pipelines",
        wrapped("_sizes", lambda original, x, frame: original(x.transpose(2, 3), frame)),
    ),
    "a draw of the posterior": ("encoding_is_the_autoencoders", drawn),
    "latents off by a factor": (
        "encoding_is_the_autoencoders",
        wrapped("vae_encode", lambda original, images: original(images) * 1.0001),
    ),
    "images decoded without scale": (
        "decoding_is_the_pipelines",
        wrapped("vae_decode", lambda original, latents: original(latents * 0.5)),
    ),
    "latents turned": (
        "pixel_masks_land_where_the_network_looks",
        wrapped("denoise", lambda original, x, t, c: original(x.flip(2), t, c)),
    ),
    "a target less": (
        "targets_are_the_communitys",
        lambda backbone, patch: patch.setattr(backbone, "lora_targets", backbone.lora_targets[1:]),
    ),
    "one seed for all": ("pictures_depend_on_their_seed_alone", wrapped("call", one_generator)),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_noticed(backbone: PipelineBackbone, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    part, fault = FAULTS[name]
    fault(backbone, monkeypatch)
    with pytest.raises(AssertionError):
        getattr(battery, part)(backbone, sdxl)
