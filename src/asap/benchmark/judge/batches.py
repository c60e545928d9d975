"""Batches for the judge: pairs to tensors, with the same jitter for both sides of a pair.

Legend: B pairs, S pixels, G cells, P parts.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from asap.benchmark.judge.dataset import JudgePairs
from asap.benchmark.judge.losses import Targets
from asap.benchmark.judge.network import JudgeSpec
from asap.core.seeds import derive, generator

__all__ = ["Batcher", "to_tensor"]

SHIFT: Final = 0.08
ZOOM: Final = 0.12
TONE: Final = 0.08


def to_tensor(images: npt.NDArray[np.uint8]) -> Tensor:
    """(B, S, S, 3) bytes to (B, 3, S, S) in [-1, 1], channels last in memory."""
    tensor = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
    return tensor.to(torch.float32).div_(127.5).sub_(1.0)


class Batcher:
    """Pairs in a shuffled order that only ``seed`` and the step decide, so that a resumed run sees the same."""

    def __init__(self, pairs: JudgePairs, spec: JudgeSpec, batch: int, seed: int) -> None:
        """``batch`` is B, cut down to the number of pairs."""
        self.pairs, self.seed = pairs, seed
        self.batch = min(batch, len(pairs))
        self.classes = {name: _indices(pairs, column, spec) for column, (name, _) in enumerate(spec.attributes)}

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in one pass."""
        return len(self.pairs) // self.batch

    def index(self, step: int) -> npt.NDArray[np.int64]:
        """(B,) pairs of a step."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = generator(self.seed, "judge-order", epoch).permutation(len(self.pairs))
        return np.asarray(order[place * self.batch : (place + 1) * self.batch], dtype=np.int64)

    def train(self, step: int) -> tuple[Tensor, Targets]:
        """The jittered batch of a step."""
        images, targets = self._gather(self.index(step))
        torch_generator = torch.Generator().manual_seed(derive(self.seed, "judge-jitter", step))
        return jitter(images, targets, torch_generator)

    def every(self) -> Iterator[tuple[Tensor, Targets]]:
        """All pairs once, in order and as they are."""
        for start in range(0, len(self.pairs), self.batch):
            yield self._gather(np.arange(start, min(start + self.batch, len(self.pairs))))

    def _gather(self, index: npt.NDArray[np.int64]) -> tuple[Tensor, Targets]:
        """(2B, 3, S, S) chosen then rejected, and their labels."""
        rows = self.pairs.take(index)
        defect = rows.fails[:, 1] == 1
        touched = torch.from_numpy(rows.touched).float() / 255
        maps = torch.from_numpy(rows.parts).float() / 255
        # Inside the mask of a rejected picture the chosen one's part map no longer holds.
        moved = torch.where(touched[:, None] > 0, -1.0, maps)
        wrong_cells = touched * torch.from_numpy(defect)[:, None, None]
        targets = Targets(
            fails=_sides(rows.fails),
            visible=_sides(rows.visible),
            wrong=_sides(rows.wrong),
            maps=torch.cat([maps, moved]),
            defect=torch.cat([torch.zeros_like(touched), wrong_cells]),
            attributes={name: _sides(table[index]).long() for name, table in self.classes.items()},
        )
        return to_tensor(np.concatenate([rows.chosen, rows.rejected])), targets


def _sides(labels: npt.NDArray[np.int8] | npt.NDArray[np.int64]) -> Tensor:
    """(B, 2, ...) to (2B, ...): chosen first."""
    return torch.from_numpy(np.concatenate([labels[:, 0], labels[:, 1]])).float()


def _indices(pairs: JudgePairs, column: int, spec: JudgeSpec) -> npt.NDArray[np.int64]:
    """(N, 2) class of one attribute, -1 where the value is not among the classes."""
    classes = {value: place for place, value in enumerate(spec.attributes[column][1])}
    texts = pairs.attributes[:, :, column]
    return np.array([[classes.get(str(text), -1) for text in row] for row in texts], dtype=np.int64)


def jitter(images: Tensor, targets: Targets, rng: torch.Generator) -> tuple[Tensor, Targets]:
    """Mirror, shift, zoom, and light: drawn once per pair and used for both sides and for the maps."""
    count = len(images) // 2
    draw = torch.rand(count, 6, generator=rng).repeat(2, 1)
    mirror = torch.where(draw[:, 0] < 0.5, -1.0, 1.0)
    zoom = 1 + ZOOM * (2 * draw[:, 1] - 1)
    theta = torch.zeros(2 * count, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = mirror * zoom, zoom
    theta[:, :, 2] = SHIFT * 2 * (2 * draw[:, 2:4] - 1)
    moved = _warp(images, theta, "border")
    moved = (
        moved * (1 + TONE * (2 * draw[:, 4] - 1))[:, None, None, None]
        + (TONE * (2 * draw[:, 5] - 1))[:, None, None, None]
    )
    maps = _warp(torch.cat([targets.maps.clamp_min(0), targets.defect[:, None]], 1), theta, "zeros")
    unknown = _warp((targets.maps < 0).float(), theta, "zeros") > 0
    return moved, Targets(
        fails=targets.fails,
        visible=targets.visible,
        wrong=targets.wrong,
        maps=torch.where(unknown, -1.0, maps[:, :-1]),
        defect=maps[:, -1],
        attributes=targets.attributes,
    )


def _warp(values: Tensor, theta: Tensor, padding: str) -> Tensor:
    """Affine resampling of (2B, C, H, W)."""
    grid = F.affine_grid(theta, list(values.shape), align_corners=False)
    return F.grid_sample(values, grid, mode="bilinear", padding_mode=padding, align_corners=False)
