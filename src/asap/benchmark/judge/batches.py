"""Batches for the judge: pairs to tensors, with the same jitter for both sides of a pair.

A window shows the edited place at half the picture's side, enlarged or reduced: a step on windows costs a fifth of one
on whole pictures, and what it shows is where right and wrong differ.

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
from asap.benchmark.judge.network import STRIDE, JudgeSpec
from asap.core.seeds import derive, generator

__all__ = ["Batcher", "to_tensor"]

SHIFT: Final = 0.08
ZOOM: Final = 0.12
TONE: Final = 0.08
NOISE: Final = 0.06
"""Largest standard deviation of what is added to pictures in [-1, 1]."""
NARROW: Final = 0.36
"""Smallest side of a window as a share of the picture's."""
AROUND: Final = 1.2
"""Sides of a window to sides of what it must show, at least."""


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
        self.boxes = torch.tensor([_box(touched) for touched in pairs.touched])

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
        rng = torch.Generator().manual_seed(derive(self.seed, "judge-jitter", step))
        return jitter(images, targets, _whole(len(images) // 2, rng), images.shape[-1], rng)

    def windows(self, step: int) -> tuple[Tensor, Targets]:
        """The batch of a step as windows of half the side around what was edited: (2B, 3, S / 2, S / 2)."""
        index = self.index(step)
        images, targets = self._gather(index)
        rng = torch.Generator().manual_seed(derive(self.seed, "judge-window", step))
        return jitter(images, targets, _window(self.boxes[index], rng), images.shape[-1] // 2, rng)

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


def _box(touched: npt.NDArray[np.uint8]) -> tuple[float, float, float]:
    """Centre x, y in [-1, 1] and the longer side as a share of the picture's; the whole when nothing was touched."""
    rows, columns = np.nonzero(touched.any(1))[0], np.nonzero(touched.any(0))[0]
    if not len(rows):
        return 0.0, 0.0, 1.0
    ends = [(line[0] / len(touched), (line[-1] + 1) / len(touched)) for line in (columns, rows)]
    (x, y), side = [first + last - 1 for first, last in ends], max(last - first for first, last in ends)
    return float(x), float(y), float(side)


def _affine(mirror: Tensor, side: Tensor, centre: Tensor) -> Tensor:
    """(B, 2, 3) of ``affine_grid``: squares of ``side`` times the picture's around ``centre`` (B, 2)."""
    theta = torch.zeros(len(side), 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = torch.where(mirror, -side, side), side
    theta[:, :, 2] = centre
    return theta


def _whole(count: int, rng: torch.Generator) -> Tensor:
    """Nearly the whole picture: mirrored or not, a little shifted and zoomed."""
    draw = torch.rand(count, 4, generator=rng)
    return _affine(draw[:, 0] < 0.5, 1 + ZOOM * (2 * draw[:, 1] - 1), SHIFT * 2 * (2 * draw[:, 2:] - 1))


def _window(boxes: Tensor, rng: torch.Generator) -> Tensor:
    """A square between the narrowest that shows the box and twice that, placed at random around it."""
    draw = torch.rand(len(boxes), 4, generator=rng)
    narrow = (AROUND * boxes[:, 2]).clamp(NARROW, 1.0)
    side = narrow * (2 * narrow).clamp_max(1.0).div(narrow) ** draw[:, 1]
    room = (side - boxes[:, 2]).clamp_min(0.0)[:, None]
    centre = boxes[:, :2] + 0.9 * room * (2 * draw[:, 2:] - 1)
    edge = (1 - side)[:, None]
    return _affine(draw[:, 0] < 0.5, side, torch.minimum(torch.maximum(centre, -edge), edge))


def jitter(images: Tensor, targets: Targets, theta: Tensor, size: int, rng: torch.Generator) -> tuple[Tensor, Targets]:
    """Place, light, blur and noise: drawn once per pair and used for both sides and, place, for the maps.

    Args:
        images: (2B, 3, S, S), chosen first.
        targets: of the whole pictures.
        theta: (B, 2, 3) what of each pair to show.
        size: side of what comes out.
        rng: decides the rest.
    """
    draw, theta = torch.rand(len(theta), 4, generator=rng), theta.repeat(2, 1, 1)
    moved = _weather(_warp(images, theta, "border", size), draw, rng)
    known = torch.cat([targets.maps.clamp_min(0), targets.defect[:, None], (targets.maps < 0).float()], 1)
    known = _warp(known, theta, "zeros", size // STRIDE)
    count = targets.maps.shape[1]
    return moved, Targets(
        fails=targets.fails,
        visible=targets.visible,
        wrong=targets.wrong,
        maps=torch.where(known[:, count + 1 :] > 0, -1.0, known[:, :count]),
        defect=known[:, count],
        attributes=targets.attributes,
    )


def _weather(images: Tensor, draw: Tensor, rng: torch.Generator) -> Tensor:
    """Light, blur and noise (2B, 3, H, H), by (B, 4) numbers in [0, 1)."""
    gain, lift, blur, noise = draw.repeat(2, 1)[:, :, None, None, None].unbind(1)
    images = images * (1 + TONE * (2 * gain - 1)) + TONE * (2 * lift - 1)
    soft = F.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    grain = torch.randn(len(images) // 2, *images.shape[1:], generator=rng).repeat(2, 1, 1, 1)
    return images.lerp(soft, blur**2) + NOISE * noise**2 * grain


def _warp(values: Tensor, theta: Tensor, padding: str, size: int) -> Tensor:
    """Affine resampling of (2B, C, H, W) to (2B, C, size, size)."""
    grid = F.affine_grid(theta, [*values.shape[:2], size, size], align_corners=False)
    return F.grid_sample(values, grid, mode="bilinear", padding_mode=padding, align_corners=False)
