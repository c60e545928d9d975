"""Windows of an image in families whose tokens have places: FLUX.1 and FLUX.2."""

from types import ModuleType

import pytest
import torch
from torch import Tensor

from asap.backbones.pipeline import PipelineBackbone
from asap.backbones.protocol import Window
from asap.core.errors import InputError
from tests.backbones import battery
from tests.backbones.tiny import flux, flux2

pytestmark = pytest.mark.usefixtures("one_thread")
HERE = Window(top=32, left=16, whole_height=64, whole_width=64)
THERE = Window(top=0, left=24, whole_height=64, whole_width=64)
WHOLE = Window(top=0, left=0, whole_height=32, whole_width=32)


@pytest.fixture(scope="module", params=[flux, flux2], ids=["flux", "flux2"])
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PipelineBackbone:
    module: ModuleType = request.param
    folder = tmp_path_factory.mktemp("origins")
    module.build(folder)
    return battery.open_tiny(folder)


def noisy(backbone: PipelineBackbone, count: int) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(2)
    return torch.randn(count, *backbone.latent_size(32, 32), generator=source), torch.rand(count, generator=source)


def test_a_windows_tokens_have_the_places_that_they_have_in_the_whole(backbone: PipelineBackbone) -> None:
    """At (32, 16) the window's four tokens are those of rows 2 and 3, columns 1 and 2, of the whole image's 4 x 4."""
    x_t, t = noisy(backbone, 1)
    text = backbone.embed(battery.PROMPTS[:1])
    with torch.no_grad(), battery.recording(backbone.denoiser) as calls:
        backbone.denoise(x_t, t, backbone.place(text, [HERE]))
        backbone.denoise(torch.randn(1, *backbone.latent_size(64, 64)), t, text)
    window, whole = (call["img_ids"].reshape(-1, call["img_ids"].shape[-1]) for call in calls)
    assert torch.equal(window, whole[[9, 10, 13, 14]])


def test_windows_of_unlike_places_do_not_meet_in_a_batch(backbone: PipelineBackbone) -> None:
    x_t, t = noisy(backbone, 3)
    text = backbone.embed([*battery.PROMPTS, "a foot"])
    windows = [THERE, HERE, THERE]
    with torch.no_grad():
        together = backbone.denoise(x_t, t, backbone.place(text, windows))
        apart = [
            backbone.denoise(x_t[[row]], t[[row]], backbone.place(text.index([row]), [windows[row]]))
            for row in range(3)
        ]
        unplaced = backbone.denoise(x_t, t, text)
    torch.testing.assert_close(together, torch.cat(apart), atol=1e-5, rtol=1e-5)
    assert ((together - unplaced).flatten(1).abs().amax(1) > 1e-4).all()


def test_a_whole_picture_as_a_window_changes_nothing(backbone: PipelineBackbone) -> None:
    x_t, t = noisy(backbone, 2)
    text = backbone.embed(battery.PROMPTS)
    with torch.no_grad():
        assert torch.equal(backbone.denoise(x_t, t, backbone.place(text, [WHOLE] * 2)), backbone.denoise(x_t, t, text))


def test_gradients_pass_through_groups(backbone: PipelineBackbone) -> None:
    x_t, t = noisy(backbone, 2)
    x_t.requires_grad_()
    placed = backbone.place(backbone.embed(battery.PROMPTS), [HERE, THERE])
    (gradient,) = torch.autograd.grad(backbone.denoise(x_t, t, placed)[0].sum(), x_t)
    assert gradient[0].abs().sum() > 0
    assert gradient[1].abs().sum() == 0


def test_as_many_windows_as_prompts_are_needed(backbone: PipelineBackbone) -> None:
    with pytest.raises(InputError, match="one window per prompt, got 1 windows and 2 prompts"):
        backbone.place(backbone.embed(battery.PROMPTS), [HERE])
