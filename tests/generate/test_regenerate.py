"""One region drawn anew: what is outside stays, what is inside is the model's, at the times and guidance asked for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from asap.backbones.protocol import TextCondition
from asap.core.errors import InputError
from asap.generate import regenerate
from tests.generate.test_generate import Exact, Fake, Pictures, sample_images


def masks(count: int) -> Pictures:
    found = np.zeros((count, 16, 16), np.uint8)
    found[:, 4:10, 6:12] = 255
    return found


def again(model: Fake, images: Pictures, **how: object) -> tuple[Pictures, Pictures]:
    count = len(images)
    told: dict[str, Any] = {"starts": [0.8] * count, "seeds": [1] * count, "steps": 4, **how}
    return regenerate(model, images, masks(count), ["x"] * count, told.pop("starts"), told.pop("seeds"), **told)


class Ignorant(Fake):
    """Says that the data are grey, wherever it is asked."""

    def denoise(self, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        self.times.append([round(float(value), 4) for value in t])
        return x_t / t[:, None, None, None]


def test_outside_nothing_changes_and_inside_is_what_the_model_says() -> None:
    images = sample_images(2)
    kept, made = again(Ignorant(), images)
    inside = masks(2) > 0
    assert np.array_equal(kept, images)
    assert np.array_equal(made[~inside], images[~inside])
    assert set(np.unique(made[inside])) == {128}


def test_a_perfect_model_gives_the_image_back() -> None:
    images = sample_images(2)
    assert np.abs(again(Exact(), images)[1].astype(int) - images).max() <= 1


def test_times_go_evenly_from_the_start_to_zero() -> None:
    model = Ignorant()
    again(model, sample_images(2), starts=[0.8, 0.4])
    assert model.times == [[0.8, 0.4], [0.6, 0.3], [0.4, 0.2], [0.2, 0.1]]


def test_noise_depends_on_the_seed_alone() -> None:
    images = np.repeat(sample_images(1), 3, axis=0)
    _, made = again(Fake(), images, seeds=[5, 5, 6])
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])
    assert np.array_equal(again(Fake(), images[:1], seeds=[5])[1][0], made[0])


class Worded(Fake):
    """Predicts data of 0.4 where there are words and of 0.1 where there are none."""

    def embed(self, prompts: Sequence[str]) -> TextCondition:
        return TextCondition({"words": torch.tensor([[0.4 if text else 0.1] for text in prompts])})

    def denoise(self, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        wanted = condition.tensors["words"][:, :, None, None]
        return (x_t - wanted) / t[:, None, None, None]


@pytest.mark.parametrize(("guidance", "value"), [(1.0, 0.4), (2.0, 0.7)])
def test_guidance_goes_on_from_the_empty_caption_past_the_one_asked_for(guidance: float, value: float) -> None:
    # 0.1 + 2 * (0.4 - 0.1) = 0.7
    _, made = again(Worded(), sample_images(1), guidance=guidance, steps=1)
    inside = masks(1) > 0
    assert np.abs(made[inside] - (value + 1) * 127.5).max() <= 1


@pytest.mark.parametrize("wrong", [{"starts": [1.0]}, {"starts": [0.0]}, {"seeds": [1, 2]}, {"steps": 0}])
def test_wrong_numbers_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"regeneration needs|start times"):
        again(Fake(), sample_images(1), **wrong)
