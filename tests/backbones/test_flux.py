"""What FLUX.1 has beyond the battery: embedded guidance, schnell, times that depend on the size of images."""

import math
from pathlib import Path
from types import ModuleType

import pytest
import torch
from diffusers import FluxTransformer2DModel

from asap.backbones.family import LoadOptions
from asap.backbones.flux.backbone import FluxBackbone, load, positions
from asap.backbones.paths import FlowPath
from asap.core.errors import InputError
from tests.backbones import battery
from tests.backbones.tiny import flux

pytestmark = pytest.mark.usefixtures("one_thread")


def opened(folder: Path, *, distilled: bool = True) -> FluxBackbone:
    flux.pipeline(distilled=distilled).save_pretrained(folder)
    return load(folder, "tiny", LoadOptions())


@pytest.fixture(scope="module")
def schnell(tmp_path_factory: pytest.TempPathFactory) -> FluxBackbone:
    return opened(tmp_path_factory.mktemp("schnell"), distilled=False)


@pytest.fixture
def dev(tmp_path: Path) -> FluxBackbone:
    return opened(tmp_path)


def told(**call: float) -> ModuleType:
    """What the battery asks of a module, with arguments of the pipeline's call."""
    module = ModuleType("told")
    vars(module).update(CALL=call)
    return module


def test_dev_is_told_a_guidance_of_one_in_training_and_any_other_at_will(dev: FluxBackbone) -> None:
    assert dev.embedded_guidance == 1
    dev.embedded_guidance = 3.5
    battery.denoise_is_the_pipelines(dev, told(guidance_scale=3.5))
    with pytest.raises(AssertionError, match="guidance"):
        battery.denoise_is_the_pipelines(dev, told(guidance_scale=1.0))


def test_schnell_has_no_guidance_short_text_and_four_steps(schnell: FluxBackbone) -> None:
    battery.denoise_is_the_pipelines(schnell, told(guidance_scale=0.0, max_sequence_length=256))
    assert schnell.embed(["a hand"]).tensors["text"].shape[1] == 256
    with battery.recording(schnell.denoiser) as calls:
        schnell.sample(["a hand"], [1])
    assert len(calls) == 4
    assert "guidance" not in calls[0]


def test_training_times_are_shifted_by_the_size_of_pictures(dev: FluxBackbone, schnell: FluxBackbone) -> None:
    """64 x 64 pixels are 16 tokens, so mu = 0.5 + 0.65 * (16 - 256) / 3840; schnell's scheduler has no shift."""
    assert isinstance(dev.path, FlowPath)
    assert dev.path.shift == pytest.approx(math.exp(0.5 - 0.65 * 240 / 3840))
    assert schnell.path == FlowPath(clock=1.0)


def test_places_of_tokens_by_hand() -> None:
    places = positions(2, 3, torch.device("cpu"))
    assert places.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 1, 0], [0, 1, 1], [0, 1, 2]]
    assert positions(1, 2, torch.device("cpu"), (5, 7)).tolist() == [[0, 5, 7], [0, 5, 8]]


def test_a_model_that_is_shown_more_than_a_picture_is_refused(tmp_path: Path) -> None:
    """As FLUX.1 Fill and Depth are, which have pipelines of their own."""
    pipeline = flux.pipeline()
    pipeline.register_modules(
        transformer=FluxTransformer2DModel.from_config({**pipeline.transformer.config, "in_channels": 128})
    )
    pipeline.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="tiny takes 128 channels, its autoencoder makes 64: it is an inpainting"):
        load(tmp_path, "tiny", LoadOptions())
