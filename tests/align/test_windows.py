"""Windows of pairs: the same noise, the same unit of error, and the whole image where the window is that."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from asap.align.batch import Draws, PairBatch, Slots, cut, draw
from asap.align.step import measure, pair_errors
from asap.align.trainer import Trainer
from asap.backbones.protocol import TextCondition
from tests.align.fakes import SHAPE, MemoryPairs, StraightPath, trainer
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
            for name in ("winner", "loser", "mask")
        }
        return replace(batch, **parts, corners=(self.corner,) * len(indices), whole=SHAPE[1:])


@pytest.mark.parametrize("mode", ["one_pass", "two_pass"])
def test_a_window_that_is_the_whole_picture_is_no_window(mode: Any) -> None:  # noqa: ANN401
    def run(pairs: MemoryPairs) -> tuple[list[dict[str, float | None]], Trainer]:
        run = trainer(lora=True, pairs=pairs, gradient=mode, draws=2, steps=3)
        return [{**row, "seconds": 0} for row in run.steps()], run

    (plain, one), (windowed, other) = run(MemoryPairs()), run(Windowed(8, 0, 0))
    assert plain == windowed
    for name, value in one.weights.items():
        assert torch.equal(value, other.weights[name]), name
    assert any(bool(value.detach().any()) for name, value in one.weights.items() if "lora_B" in name)


def test_noise_is_cut_from_that_of_the_whole_picture() -> None:
    slots = Slots(step=2, places=(0, 1), pairs=(4, 9), batch=2, total=20, start=4)
    whole = draw(StraightPath(), SHAPE, slots, seed=1, draws=2)
    batch = replace(Windowed(*INSIDE).batch([4, 9]), corners=((2, 3), (4, 0)))
    seen = cut(whole, batch)
    assert torch.equal(seen.time, whole.time)
    assert torch.equal(seen.noise[0], whole.noise[0, :, :, 2:6, 3:7])
    assert torch.equal(seen.noise[1], whole.noise[1, :, :, 4:8, 0:4])
    assert cut(whole, MemoryPairs().batch([4, 9])) is whole


def pointwise(scale: float) -> Any:  # noqa: ANN401
    """A denoiser that looks at one cell at a time, so that a window takes nothing from what it sees."""

    def denoise(x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        del condition
        return scale * torch.tanh(x_t) + t.reshape(-1, 1, 1, 1)

    return denoise


def test_a_margin_is_the_same_in_a_window_that_leaves_out_equal_pixels() -> None:
    """Both sides are equal outside the mask, so with a pointwise denoiser nothing but the winner's error outside is
    lost: delta, the errors inside and the share of the mask stay, and an error is the part of it that lies inside."""
    draws = Draws(noise=torch.randn(2, 2, *SHAPE, generator=torch.Generator().manual_seed(0)), time=torch.rand(2, 2))
    found = []
    for pairs in (MemoryPairs(), Windowed(*INSIDE)):
        batch = pairs.batch([4, 9])
        seen = measure(
            pointwise(0.7), pointwise(0.2), StraightPath(), batch, cut(draws, batch), alpha=10.0, cast=torch.no_grad()
        )
        found.append((seen, pair_errors(seen, 10.0)))
    (whole, errors), (window, inside) = found
    assert window.seen == 16 / 64
    torch.testing.assert_close(window.mask_share, whole.mask_share)
    torch.testing.assert_close(window.policy.masked, whole.policy.masked)
    margins = [
        (one.reference_winner - one.policy_winner) - (one.reference_loser - one.policy_loser)
        for one in (errors, inside)
    ]
    torch.testing.assert_close(margins[0], margins[1])
    assert float(margins[0].abs().min()) > 1e-3
    assert (inside.policy_winner < errors.policy_winner).all()


def test_what_a_window_spares() -> None:
    """A window of half the sides keeps about a quarter of the activations, in bytes and in numbers."""
    whole, window = (peak(trainer(lora=True, pairs=pairs)) for pairs in (MemoryPairs(), Windowed(*INSIDE)))
    for more, less in zip(whole, window, strict=True):
        assert less <= 0.3 * more


def test_the_log_says_how_much_is_seen() -> None:
    assert trainer(pairs=Windowed(*INSIDE)).step()["seen"] == 0.25
    assert "seen" not in trainer(pairs=Windowed(8, 0, 0)).step()


class TwoShapes(MemoryPairs):
    """The first five pairs are seen in a window, the others whole."""

    def batch(self, indices: Sequence[int]) -> PairBatch:
        if max(indices) >= 5:
            assert min(indices) >= 5
            return super().batch(indices)
        return Windowed(*INSIDE).batch(indices)


GROUPS = [range(5), range(5, 20)]


def taken(**settings: Any) -> Trainer:  # noqa: ANN401
    run = trainer(lora=True, pairs=TwoShapes(), groups=GROUPS, lr=1e-5, loss={"tau": 0.5}, **settings)
    list(run.steps())
    return run


def test_pairs_of_several_shapes_train_in_any_split_and_go_on_exactly() -> None:
    whole, split = taken(batch_size=4), taken(batch_size=2, grad_accum=2)
    for name, value in whole.weights.items():
        torch.testing.assert_close(value, split.weights[name], atol=1e-7, rtol=0, msg=name)
    first = trainer(lora=True, pairs=TwoShapes(), groups=GROUPS, lr=1e-5, loss={"tau": 0.5})
    list(first.steps(until=3))
    second = trainer(lora=True, pairs=TwoShapes(), groups=GROUPS, lr=1e-5, loss={"tau": 0.5})
    second.restore(first.state())
    list(second.steps())
    for name, value in whole.weights.items():
        assert torch.equal(value, second.weights[name]), name


def test_kept_draws_come_again_within_a_shape() -> None:
    """Six steps of four take 8 places of the five windows, so that three of them are met again, at the same draw."""
    asked: list[tuple[int, int]] = []

    class Bank:
        def get(self, pairs: Sequence[int], numbers: Sequence[tuple[int, ...]]) -> Tensor:
            asked.extend((pair, number) for pair, own in zip(pairs, numbers, strict=True) for number in own)
            return torch.full((len(pairs), len(numbers[0]), 2, 3), torch.nan)

        def put(self, pairs: Sequence[int], numbers: Sequence[tuple[int, ...]], values: Tensor) -> None:
            del pairs, numbers, values

    taken(kept_draws=1, bank=Bank())
    windows = [name for name in asked if name[0] < 5]
    assert len(windows) == 8
    assert len(set(windows)) == 5
