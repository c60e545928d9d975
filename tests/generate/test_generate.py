from collections.abc import Container, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from asap.backbones.protocol import TextCondition
from asap.core.errors import InputError
from asap.generate import generate, round_trip
from tests.backbones.fakes import FakeBackbone

Pictures = np.ndarray[Any, np.dtype[np.uint8]]


class Fake(FakeBackbone):
    """A model whose latents are its images and whose predictions are exact for a known image."""

    def __init__(self) -> None:
        super().__init__()
        self.truth: Tensor | None = None
        self.calls: list[int] = []
        self.times: list[list[float]] = []

    def encode(self, images: Tensor) -> Tensor:
        self.truth = images
        return images.clone()

    def denoise(self, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        assert len(condition) == len(x_t)
        self.times.append([round(float(value), 4) for value in t])
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
    ) -> Pictures:
        self.calls.append(len(prompts))
        pairs = zip(prompts, seeds, strict=True)
        rows = [np.random.default_rng([seed, len(text)]).integers(0, 255, (16, 16, 3)) for text, seed in pairs]
        return np.stack(rows).astype(np.uint8)


PROMPTS = [("a", "one"), ("b", "three"), ("c", "seven")]


def make(batch: int = 16, done: Container[tuple[str, int]] = ()) -> dict[tuple[str, int], bytes]:
    found = generate(Fake(), PROMPTS, [0, 1], batch=batch, done=done)
    return {(picture.prompt_id, picture.seed): picture.image.tobytes() for picture in found}


def test_images_do_not_depend_on_the_batch_and_seeds_differ_between_prompts() -> None:
    whole = make(batch=6)
    assert make(batch=1) == whole == make(batch=4)
    assert len(set(whole.values())) == 6


def test_what_is_done_is_not_asked_for_again() -> None:
    whole = make()
    rest = make(done={("a", 0), ("c", 1)}, batch=3)
    assert set(rest) == set(whole) - {("a", 0), ("c", 1)}
    assert all(whole[key] == value for key, value in rest.items())


@pytest.mark.parametrize(
    ("prompts", "seeds", "batch"),
    [
        ([], [0], 1),
        (PROMPTS, [], 1),
        (PROMPTS, [0, 0], 1),
        (PROMPTS, [0], 0),
        ([("a", "x"), ("a", "y")], [0], 1),
    ],
)
def test_nonsense_is_refused(prompts: list[tuple[str, str]], seeds: list[int], batch: int) -> None:
    with pytest.raises(InputError, match="generation needs"):
        list(generate(Fake(), prompts, seeds, batch=batch))


def sample_images(n: int) -> Pictures:
    return np.random.default_rng(0).integers(0, 255, (n, 16, 16, 3)).astype(np.uint8)


def trip(
    images: Pictures, strengths: Sequence[float], seeds: Sequence[int], steps: int = 3, model: Fake | None = None
) -> Pictures:
    return round_trip(model or Fake(), images, ["x"] * len(images), strengths, seeds, steps=steps)


def test_strength_zero_only_encodes_and_decodes() -> None:
    images = sample_images(2)
    assert np.array_equal(trip(images, [0, 0], [1, 2]), images)


def test_noise_depends_on_the_seed_alone() -> None:
    images = np.repeat(sample_images(1), 3, axis=0)
    out = trip(images, [0.3, 0.3, 0.3], [5, 5, 6])
    assert np.array_equal(out[0], out[1])
    assert not np.array_equal(out[0], out[2])
    assert np.array_equal(trip(images[:1], [0.3], [5])[0], out[0])


def test_strength_changes_each_image_by_its_own() -> None:
    images = np.repeat(sample_images(1), 3, axis=0)
    out = trip(images, [0.0, 0.1, 0.4], [5, 5, 5]).astype(float)
    gaps = [np.abs(out[i] - images[0]).mean() for i in range(3)]
    assert gaps[0] == 0
    assert 0 < gaps[1] < gaps[2]


def test_times_go_from_the_strength_evenly_to_zero() -> None:
    model = Fake()
    trip(sample_images(2), [0.3, 0.15], [1, 1], model=model)
    assert model.times == [[0.3, 0.15], [0.2, 0.1], [0.1, 0.05]]


class Exact(Fake):
    """Knows the data, so every prediction is the path's own target."""

    def denoise(self, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        assert self.truth is not None
        return (x_t - self.truth) / t[:, None, None, None]


@pytest.mark.parametrize("steps", [1, 4])
def test_a_perfect_model_gives_the_image_back(steps: int) -> None:
    images = sample_images(2)
    assert np.abs(trip(images, [0.2, 0.35], [1, 2], steps, Exact()).astype(int) - images).max() <= 1


def test_other_sizes_are_brought_to_the_model() -> None:
    images = np.full((1, 32, 32, 3), 77, np.uint8)
    assert np.array_equal(trip(images, [0], [0]), np.full((1, 16, 16, 3), 77, np.uint8))


@pytest.mark.parametrize(("strengths", "steps"), [([1.0], 3), ([-0.1], 3), ([0.1, 0.2], 3), ([0.1], 0)])
def test_wrong_round_trips_are_refused(strengths: list[float], steps: int) -> None:
    with pytest.raises(InputError):
        round_trip(Fake(), sample_images(1), ["x"], strengths, [0], steps=steps)
