"""Windows of pairs: the same noise, the same unit of error, and the whole image where the window is that."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from asap.align.batch import NoiseSamples, PairBatch, Slots, crop_noise, sample_noise
from asap.align.errors import RowName
from asap.align.methods import resolve_method
from asap.align.policy import Denoise
from asap.align.step import Objective, evaluate, fresh_reference
from asap.backbones.protocol import TextCondition
from tests.align.fakes import SHAPE, Alignment, MemoryPairs, StraightPath, alignment, assert_same, weights
from tests.align.memory import peak

INSIDE = (4, 2, 3)
"""Side, row and column of a window that holds the pairs' mask, which is 3 x 3 at (2, 3)."""


class Windowed(MemoryPairs):
    """Pairs of which a square window is seen."""

    def __init__(self, side: int, top: int, left: int) -> None:
        super().__init__()
        self.side, self.corner = side, (top, left)

    def batch(self, indices: Sequence[int]) -> PairBatch:
        batch, (top, left) = super().batch(indices), self.corner
        parts = {
            name: getattr(batch, name)[..., top : top + self.side, left : left + self.side]
            for name in ("chosen", "rejected", "mask")
        }
        return replace(batch, **parts, corners=(self.corner,) * len(indices), image_size=SHAPE[1:])


@pytest.mark.parametrize("mode", ["one_pass", "two_pass"])
def test_a_window_that_is_the_whole_image_changes_nothing(mode: str) -> None:
    def taken(pairs: MemoryPairs) -> tuple[list[dict[str, float | None]], Alignment]:
        run = alignment(lora=True, pairs=pairs, gradient=mode, noise_samples=2, steps=3)
        return list(run.steps()), run

    (plain, one), (windowed, other) = taken(MemoryPairs()), taken(Windowed(8, 0, 0))
    assert plain == windowed
    assert_same(weights(one), weights(other))
    assert any(bool(value.any()) for name, value in weights(one).items() if "lora_B" in name)


def test_noise_is_cropped_from_that_of_the_whole_image() -> None:
    slots = Slots(step=2, places=(0, 1), pairs=(4, 9), batch=2, total=20, start=4)
    whole = sample_noise(StraightPath(), SHAPE, slots, seed=1, samples=2)
    batch = replace(Windowed(*INSIDE).batch([4, 9]), corners=((2, 3), (4, 0)))
    seen = crop_noise(whole, batch)
    assert torch.equal(seen.time, whole.time)
    assert torch.equal(seen.noise[0], whole.noise[0, :, :, 2:6, 3:7])
    assert torch.equal(seen.noise[1], whole.noise[1, :, :, 4:8, 0:4])
    assert crop_noise(whole, MemoryPairs().batch([4, 9])) is whole


def pointwise(scale: float) -> Denoise:
    """A denoiser that looks at one cell at a time, so that a window hides nothing from it."""

    def denoise(x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        del condition
        return scale * torch.tanh(x_t) + t.reshape(-1, 1, 1, 1)

    return denoise


def test_delta_is_the_same_in_a_window_that_leaves_out_equal_pixels() -> None:
    """Both sides are equal outside the mask, so with a pointwise denoiser only errors outside the window are lost:
    delta, the errors inside the mask and its share stay, and an error is the part of it that is visible."""
    generator = torch.Generator().manual_seed(0)
    noise = NoiseSamples(
        noise=torch.randn(2, 2, *SHAPE, generator=generator), time=torch.rand(2, 2, generator=generator)
    )
    method, settings = resolve_method("asap", {})
    objective = Objective(
        policy=pointwise(0.7),
        reference=fresh_reference(pointwise(0.2), nullcontext),
        path=StraightPath(),
        method=method,
        settings=settings,
        autocast=nullcontext,
        weights=(),
    )
    batches = [pairs.batch([4, 9]) for pairs in (MemoryPairs(), Windowed(*INSIDE))]
    whole, window = (evaluate(objective, batch, crop_noise(noise, batch)) for batch in batches)
    assert window.visible_share == 16 / 64
    torch.testing.assert_close(window.errors.mask_share, whole.errors.mask_share)
    torch.testing.assert_close(window.policy.masked, whole.policy.masked)
    torch.testing.assert_close(window.losses.delta, whole.losses.delta)
    assert float(whole.losses.delta.abs().min()) > 1e-3
    assert (window.errors.policy_chosen < whole.errors.policy_chosen).all()


def test_what_a_window_saves() -> None:
    """A window of half the sides keeps about a quarter of the activations, in bytes and in elements."""
    whole, window = (peak(alignment(lora=True, pairs=pairs)) for pairs in (MemoryPairs(), Windowed(*INSIDE)))
    for more, less in zip(whole, window, strict=True):
        assert less <= 0.3 * more


def test_the_log_has_the_visible_share() -> None:
    assert alignment(pairs=Windowed(*INSIDE)).step()["seen"] == 0.25
    assert "seen" not in alignment(pairs=Windowed(8, 0, 0)).step()


class TwoShapes(MemoryPairs):
    """The first five pairs are seen in a window, the others whole."""

    def batch(self, indices: Sequence[int]) -> PairBatch:
        if max(indices) >= 5:
            assert min(indices) >= 5
            return super().batch(indices)
        return Windowed(*INSIDE).batch(indices)


GROUPS = [range(5), range(5, 20)]


def taken(**settings: Any) -> Alignment:  # noqa: ANN401
    run = alignment(lora=True, pairs=TwoShapes(), groups=GROUPS, lr=1e-5, loss={"target_margin": 0.5}, **settings)
    list(run.steps())
    return run


def test_pairs_of_several_shapes_train_in_any_split_and_go_on_exactly() -> None:
    whole, split = taken(batch_size=4), taken(batch_size=2, grad_accum=2)
    for name, value in weights(whole).items():
        torch.testing.assert_close(value, weights(split)[name], atol=1e-7, rtol=0, msg=name)
    first = alignment(lora=True, pairs=TwoShapes(), groups=GROUPS, lr=1e-5, loss={"target_margin": 0.5})
    list(first.steps(until=3))
    second = alignment(lora=True, pairs=TwoShapes(), groups=GROUPS, lr=1e-5, loss={"target_margin": 0.5})
    second.restore(first.state())
    list(second.steps())
    assert_same(weights(whole), weights(second))


def test_fixed_noise_comes_again_within_a_shape() -> None:
    """Six steps of four take 8 places of the five windows, so that three of them are met again, at the same noise."""
    asked: list[tuple[int, int]] = []

    class Bank:
        def get(self, names: Sequence[RowName]) -> Tensor:
            asked.extend((pair, number) for pair, number, side in names if side == 0)
            return torch.full((len(names), 3), torch.nan)

        def put(self, names: Sequence[RowName], values: Tensor) -> None:
            del names, values

    taken(fixed_noise_samples=1, bank=Bank())
    windows = [name for name in asked if name[0] < 5]
    assert len(windows) == 8
    assert len(set(windows)) == 5
