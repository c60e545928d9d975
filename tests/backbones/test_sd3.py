"""What SD3 has beyond the battery: encoders that may be absent, its elder version, its table of positions."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from asap.backbones.family import LoadOptions
from asap.backbones.paths import FlowPath
from asap.backbones.sd3.backbone import Sd3Backbone, load
from asap.core.errors import InputError
from tests.backbones import battery
from tests.backbones.tiny import sd3

pytestmark = pytest.mark.usefixtures("one_thread")

ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")
KINDS = ("text_encoder", "tokenizer")


def opened(folder: Path, *, absent: Sequence[str] = (), dual: bool = True) -> Sd3Backbone:
    """The tiny backbone without the encoders that ``absent`` names."""
    pipeline = sd3.pipeline(dual=dual)
    pipeline.register_modules(**{part.replace("text_encoder", kind): None for part in absent for kind in KINDS})
    pipeline.save_pretrained(folder)
    return load(folder, "tiny", LoadOptions())


def test_sd3_without_dual_attention_is_the_same_family(tmp_path: Path) -> None:
    backbone = opened(tmp_path, dual=False)
    battery.denoise_is_the_pipelines(backbone, sd3)
    battery.targets_are_the_communitys(backbone, sd3)
    assert backbone._call_settings(None, None) == {"num_inference_steps": 28, "guidance_scale": 7}


def test_medium_is_sampled_as_its_card_says_unless_told_otherwise(whole: Sd3Backbone) -> None:
    assert whole._call_settings(None, None) == {"num_inference_steps": 40, "guidance_scale": 4.5}
    assert whole._call_settings(3, 1.5) == {"num_inference_steps": 3, "guidance_scale": 1.5}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Sd3Backbone:
    """With all encoders; no test may change it."""
    return opened(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("absent", [ENCODERS[:1], ENCODERS[1:2], ENCODERS[2:], ENCODERS[:2], ENCODERS])
def test_absent_encoders_are_zeros_and_the_pipeline_still_draws(
    whole: Sd3Backbone, absent: tuple[str, ...], tmp_path: Path
) -> None:
    """CLIP's first 8 columns are the first encoder's, the next 12 the second's, both in the first 77 places."""
    backbone = opened(tmp_path, absent=absent)
    found, full = (one.embed(battery.PROMPTS).tensors for one in (backbone, whole))
    text, pooled = full["text"].clone(), full["pooled"].clone()
    for part, places, columns in zip(
        ENCODERS, (slice(77), slice(77), slice(77, None)), (slice(8), slice(8, 20), slice(None)), strict=True
    ):
        if part in absent:
            assert text[:, places, columns].abs().max() > 0
            text[:, places, columns] = 0
            pooled[:, columns if part != ENCODERS[2] else slice(0)] = 0
    torch.testing.assert_close(found["text"], text)
    torch.testing.assert_close(found["pooled"], pooled)
    plain, guided = (backbone.sample(battery.PROMPTS[:1], [1], steps=1, guidance=g) for g in (1.0, 5.0))
    assert plain.shape == (1, 64, 64, 3)
    assert (plain != guided).any() == (len(absent) < 3)


def test_without_t5_the_text_is_that_of_diffusers(tmp_path: Path) -> None:
    backbone = opened(tmp_path, absent=ENCODERS[2:])
    with torch.no_grad():
        text, _, pooled, _ = backbone.pipeline.encode_prompt(
            battery.PROMPTS, None, None, do_classifier_free_guidance=False
        )
    ours = backbone.embed(battery.PROMPTS).tensors
    torch.testing.assert_close(ours["text"], text)
    torch.testing.assert_close(ours["pooled"], pooled)


def test_training_times_are_shifted_as_the_scheduler_is(whole: Sd3Backbone) -> None:
    assert whole.path == FlowPath(shift=3.0)


def test_pictures_beyond_the_table_of_positions_are_refused(whole: Sd3Backbone) -> None:
    """Twelve patches of 16 pixels a side."""
    assert whole.latent_size(192, 16) == (16, 24, 2)
    with pytest.raises(InputError, match="up to 192 a side, got 16x208"):
        whole.latent_size(16, 208)
