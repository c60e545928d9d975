"""What FLUX.2 has beyond the battery: statistics of latents, klein for few steps, dev."""

import logging
from pathlib import Path
from types import ModuleType

import pytest
import torch
from diffusers import DiffusionPipeline

from asap.backbones.family import LoadOptions
from asap.backbones.flux2.backbone import Flux2Backbone, load, positions
from tests.backbones import battery
from tests.backbones.tiny import flux2

pytestmark = pytest.mark.usefixtures("one_thread")


def opened(pipeline: DiffusionPipeline, folder: Path) -> Flux2Backbone:
    pipeline.save_pretrained(folder)
    return load(folder, "tiny", LoadOptions())


@pytest.fixture(scope="module")
def klein(tmp_path_factory: pytest.TempPathFactory) -> Flux2Backbone:
    """No test may change it."""
    return opened(flux2.pipeline(), tmp_path_factory.mktemp("klein"))


def test_latents_are_normalised_by_channel_and_place_in_a_cell(klein: Flux2Backbone) -> None:
    """Channel 5 at the lower left of each 2x2 cell is number 4 * 5 + 2 of the statistics."""
    vae = klein.pipeline.vae
    images = battery.pictures(klein, flux2)
    with torch.no_grad():
        raw = vae.encode(images).latent_dist.mode()[:, 5, 1::2, ::2]
    wanted = (raw - vae.bn.running_mean[22]) / (vae.bn.running_var[22] + 1e-4).sqrt()
    torch.testing.assert_close(klein.encode(images)[:, 5, 1::2, ::2], wanted)


def test_decoding_undoes_the_statistics(klein: Flux2Backbone) -> None:
    vae = klein.pipeline.vae
    images = battery.pictures(klein, flux2)
    with torch.no_grad():
        wanted = vae.decode(vae.encode(images).latent_dist.mode()).sample
    torch.testing.assert_close(klein.decode(klein.encode(images)), wanted.clamp(-1, 1), atol=1e-5, rtol=1e-5)


def test_klein_for_few_steps_takes_four_and_no_guidance(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = opened(flux2.pipeline(distilled=True), tmp_path)
    monkeypatch.setattr(logging.getLogger("diffusers"), "propagate", True)
    with battery.recording(backbone.denoiser) as calls:
        backbone.sample(["a hand"], [1])
    assert len(calls) == 4
    assert "guidance" not in caplog.text


def test_dev_is_of_the_family_with_embedded_guidance(tmp_path: Path) -> None:
    backbone = opened(flux2.dev(), tmp_path)
    assert backbone.embedded_guidance == 1
    backbone.embedded_guidance = 4.0
    told = ModuleType("told")
    vars(told).update(CALL={"guidance_scale": 4.0})
    battery.denoise_is_the_pipelines(backbone, told)
    battery.decoding_is_the_pipelines(backbone, flux2)


def test_places_of_tokens_by_hand() -> None:
    picture, words = positions((1, 2), 3, torch.device("cpu"), (5, 7))
    assert picture.tolist() == [[0, 5, 7, 0], [0, 5, 8, 0]]
    assert words.tolist() == [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 2]]
