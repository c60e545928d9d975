"""What Z-Image has that the battery does not ask for."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from asap.backbones import load
from asap.backbones.pipeline import PipelineBackbone
from asap.backbones.zimage.backbone import ZImageBackbone
from tests.backbones.tiny import zimage

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> PipelineBackbone:
    folder: Path = tmp_path_factory.mktemp("zimage") / "tiny"
    zimage.build(folder)
    found = load(folder)
    assert isinstance(found, PipelineBackbone)
    return found


def test_a_text_means_the_same_beside_a_longer_one(backbone: PipelineBackbone) -> None:
    """The lengths differ by more than the 32 tokens to which a text is filled up."""
    prompts = ["a hand", "two people hold up all of their twenty fingers"]
    apart = [backbone.embed([prompt]) for prompt in prompts]
    x_t, t = torch.randn(2, 4, 4, 6, generator=torch.Generator().manual_seed(0)), torch.tensor([0.2, 0.9])
    with torch.no_grad():
        both = backbone.denoise(x_t, t, backbone.embed(prompts))
        one = torch.cat([backbone.denoise(x_t[k : k + 1], t[k : k + 1], apart[k]) for k in range(2)])
    torch.testing.assert_close(both, one, atol=1e-5, rtol=1e-5)


def test_a_cell_is_seen_by_its_own_token(backbone: PipelineBackbone) -> None:
    """Cell (2, 5) of 4 x 6 is in token (1, 2) of 2 x 3, the sixth: number 5."""
    condition, t = backbone.embed(["a hand"]), torch.tensor([0.5])

    def tokens(x_t: Tensor) -> Tensor:
        seen: list[Tensor] = []
        layer = backbone.pipeline.transformer.all_x_embedder["2-1"]
        handle = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        with torch.no_grad():
            backbone.denoise(x_t, t, condition)
        handle.remove()
        return seen[0][:6]  # the rest fills up to 32 and is replaced by a learned token

    changed = torch.zeros(1, 4, 4, 6)
    changed[0, :, 2, 5] = 1
    differs = tokens(changed) != tokens(torch.zeros(1, 4, 4, 6))
    assert differs.any(dim=1).nonzero().flatten().tolist() == [5]


def test_the_network_counts_backward(backbone: PipelineBackbone) -> None:
    """At t = 0.25 the network is told 0.75, and what it says leads from noise to data."""
    assert backbone.path.model_time(torch.tensor([0.25])).tolist() == [0.75]
    x, noise = torch.tensor([[2.0]]), torch.tensor([[5.0]])
    assert backbone.path.target(x, noise, torch.tensor([0.25])).tolist() == [[-3.0]]


@pytest.mark.parametrize(
    ("name", "steps"),
    [("Tongyi-MAI/Z-Image-Turbo", 8), ("z_image_turbo", 8), ("Tongyi-MAI/Z-Image", None), ("Z-Image-De-Turbo", None)],
)
def test_turbo_is_sampled_in_few_steps_unguided(backbone: PipelineBackbone, name: str, steps: int | None) -> None:
    named = ZImageBackbone(backbone.pipeline, name, backbone.options)
    assert named._call_settings(None, None).get("num_inference_steps") == steps
    assert named._call_settings(None, None).get("guidance_scale") == (None if steps is None else 0.0)
    assert named._call_settings(3, 2.0) == {"num_inference_steps": 3, "guidance_scale": 2.0}
