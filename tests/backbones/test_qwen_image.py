"""What Qwen-Image has that the battery does not ask for."""

from pathlib import Path

import pytest
import torch

from asap.backbones import load
from asap.backbones.pipeline import PipelineBackbone
from asap.core.errors import InputError
from tests.backbones.tiny import qwen_image

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> PipelineBackbone:
    folder: Path = tmp_path_factory.mktemp("qwen") / "tiny"
    qwen_image.build(folder)
    found = load(folder)
    assert isinstance(found, PipelineBackbone)
    return found


def test_a_text_means_the_same_beside_a_longer_one(backbone: PipelineBackbone) -> None:
    prompts = ["a hand", "two people hold up all of their twenty fingers"]
    together = backbone.embed(prompts)
    apart = [backbone.embed([prompt]) for prompt in prompts]
    for name in ("text", "mask"):
        assert torch.equal(together.tensors[name], torch.cat([one.tensors[name] for one in apart]))
    x_t, t = torch.randn(2, 4, 4, 6, generator=torch.Generator().manual_seed(0)), torch.tensor([0.2, 0.9])
    with torch.no_grad():
        both = backbone.denoise(x_t, t, together)
        one = torch.cat([backbone.denoise(x_t[k : k + 1], t[k : k + 1], apart[k]) for k in range(2)])
    torch.testing.assert_close(both, one, atol=1e-5, rtol=1e-5)


def test_each_channel_has_its_own_statistics(backbone: PipelineBackbone) -> None:
    """With mean 0.1 and deviation 1.4 in channel 1, a latent of 1 there is a 1.5 of the autoencoder."""
    seen: list[torch.Tensor] = []
    handle = backbone.pipeline.vae.post_quant_conv.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    backbone.decode(torch.ones(1, 4, 2, 2))
    handle.remove()
    assert seen[0].shape == (1, 4, 1, 2, 2)
    torch.testing.assert_close(seen[0][0, :, 0, 0, 0], torch.tensor([2.1, 1.5, 3.8, 1.0]))


def test_training_times_are_shifted_as_the_pipelines_own(backbone: PipelineBackbone) -> None:
    """64 x 64 pixels are 16 tokens: mu = 0.5 + 0.4 * (16 - 256) / (8192 - 256)."""
    times = backbone.path.sample_time(4096, torch.Generator().manual_seed(0))
    odds = (times / (1 - times)).median().log()
    assert odds.item() == pytest.approx(0.4879, abs=0.05)


def test_a_single_step_is_refused(backbone: PipelineBackbone) -> None:
    with pytest.raises(InputError, match="at least 2 steps"):
        backbone.sample(["a hand"], [0], steps=1)


def test_guidance_leads_away_from_a_blank(backbone: PipelineBackbone) -> None:
    plain, guided = (backbone.sample(["a hand"], [0], steps=2, guidance=scale) for scale in (1.0, 4.0))
    assert (plain != guided).any()
