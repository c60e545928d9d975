"""Batches for the judge: pairs to tensors, with the same jitter for both sides of a pair.

A window shows the edited place at half the image's side, enlarged or reduced: a step on windows costs a fifth of one
on whole images, and what it shows is where right and wrong differ.

The random choices of a step are made on the CPU; images lie on the device, if they fit, and everything else is done
there.

Legend: B pairs, S pixels, G cells, P parts, H pixels of what is shown.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from asap.benchmark.judge.dataset import JudgePairs
from asap.benchmark.judge.losses import Targets
from asap.benchmark.judge.network import STRIDE, JudgeSpec
from asap.core.prefetch import THREADS, Prefetcher
from asap.core.seeds import derive, generator
from asap.tensors.placement import place_table, take_rows

__all__ = ["Batcher", "to_tensor"]

SHIFT: Final = 0.08
ZOOM: Final = 0.12
TONE: Final = 0.08
NOISE: Final = 0.06
"""Largest standard deviation of what is added to images in [-1, 1]."""
NARROW: Final = 0.36
"""Smallest side of a window as a share of the image's."""
AROUND: Final = 1.2
"""Sides of a window to sides of what it must show, at least."""


LABELS: Final = ("visible", "wrong", "fails", "parts", "touched")


def to_tensor(images: Tensor) -> Tensor:
    """(B, S, S, 3) bytes to (B, 3, S, S) in [-1, 1], channels last in memory."""
    return images.contiguous().permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1.0)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """The random choices of a step: pairs, crops, light, blur and noise."""

    index: Tensor
    """(B,) int64, which pairs."""
    theta: Tensor
    """(B, 2, 3) of ``affine_grid``: what of each pair is shown."""
    weather: Tensor
    """(B, 4) in [0, 1): gain, lift, blur, noise."""
    grain: Tensor
    """(B, 3, H, H) standard normal."""

    def to(self, device: torch.device) -> "Augmentation":
        """The same on a device."""
        return Augmentation(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


class Batcher:
    """Pairs in a shuffled order that only ``seed`` and the step decide, so that a resumed run sees the same."""

    def __init__(self, pairs: JudgePairs, spec: JudgeSpec, batch: int, seed: int, device: str = "cpu") -> None:
        """``batch`` is B, cut down to the number of pairs; ``device`` is one of torch, where batches are made."""
        self.pairs, self.seed, self.device = pairs, seed, torch.device(device)
        self.batch = min(batch, len(pairs))
        self.boxes = torch.tensor([_box(touched) for touched in pairs.touched])
        self.classes = {
            name: place_table(torch.from_numpy(_indices(pairs, column, spec)), device)
            for column, (name, _) in enumerate(spec.attributes)
        }
        names = (*LABELS, "chosen", "rejected")
        self.tables = {name: place_table(torch.from_numpy(getattr(pairs, name)), device) for name in names}
        threads = THREADS if self.device.type == "cuda" else 0
        side = pairs.chosen.shape[1]
        self._augmented = Prefetcher(self._draws("judge-jitter", self._whole, side), threads)
        self._narrow = Prefetcher(self._draws("judge-window", self._window, side // 2), threads)

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
        return self._jittered(self._augmented(step))

    def windows(self, step: int) -> tuple[Tensor, Targets]:
        """The batch of a step as windows of half the side around what was edited: (2B, 3, S / 2, S / 2)."""
        return self._jittered(self._narrow(step))

    def every(self) -> Iterator[tuple[Tensor, Targets]]:
        """All pairs once, in order and as they are."""
        for start in range(0, len(self.pairs), self.batch):
            yield self._gather(torch.arange(start, min(start + self.batch, len(self.pairs))))

    def _whole(self, index: Tensor, rng: torch.Generator) -> Tensor:
        return _whole(len(index), rng)

    def _window(self, index: Tensor, rng: torch.Generator) -> Tensor:
        return _window(self.boxes[index], rng)

    def _draws(
        self, name: str, place: Callable[[Tensor, torch.Generator], Tensor], size: int
    ) -> Callable[[int], Augmentation]:
        """What a step draws, in this order: order of pairs, ``place`` of each, weather, grain of ``size`` pixels."""

        def draw(step: int) -> Augmentation:
            index = torch.from_numpy(self.index(step))
            rng = torch.Generator().manual_seed(derive(self.seed, name, step))
            theta, weather = place(index, rng), torch.rand(len(index), 4, generator=rng)
            grain = torch.randn(len(index), 3, size, size, generator=rng)
            return Augmentation(index=index, theta=theta, weather=weather, grain=grain).to(self.device)

        return draw

    def _jittered(self, augmentation: Augmentation) -> tuple[Tensor, Targets]:
        return jitter(*self._gather(augmentation.index), augmentation)

    def _gather(self, index: Tensor) -> tuple[Tensor, Targets]:
        """(2B, 3, S, S) chosen then rejected, and their labels."""
        rows = {name: take_rows(table, index, self.device) for name, table in self.tables.items()}
        defect = rows["fails"][:, 1] == 1
        touched, maps = rows["touched"].float() / 255, rows["parts"].float() / 255
        # Inside the mask of a rejected image the chosen one's part map no longer holds.
        moved = torch.where(touched[:, None] > 0, -1.0, maps)
        wrong_cells = touched * defect[:, None, None]
        targets = Targets(
            fails=_sides(rows["fails"]).float(),
            visible=_sides(rows["visible"]).float(),
            wrong=_sides(rows["wrong"]).float(),
            maps=torch.cat([maps, moved]),
            defect=torch.cat([torch.zeros_like(touched), wrong_cells]),
            attributes={name: _sides(take_rows(table, index, self.device)) for name, table in self.classes.items()},
        )
        return to_tensor(torch.cat([rows["chosen"], rows["rejected"]])), targets


def _sides(labels: Tensor) -> Tensor:
    """(B, 2, ...) to (2B, ...): chosen first."""
    return torch.cat([labels[:, 0], labels[:, 1]])


def _indices(pairs: JudgePairs, column: int, spec: JudgeSpec) -> npt.NDArray[np.int64]:
    """(N, 2) class of one attribute, -1 where the value is not among the classes."""
    classes = {value: place for place, value in enumerate(spec.attributes[column][1])}
    texts = pairs.attributes[:, :, column]
    return np.array([[classes.get(str(text), -1) for text in row] for row in texts], dtype=np.int64)


def _box(touched: npt.NDArray[np.uint8]) -> tuple[float, float, float]:
    """Centre x, y in [-1, 1] and the longer side as a share of the image's; the whole when nothing was touched."""
    rows, columns = np.nonzero(touched.any(1))[0], np.nonzero(touched.any(0))[0]
    if not len(rows):
        return 0.0, 0.0, 1.0
    ends = [(line[0] / len(touched), (line[-1] + 1) / len(touched)) for line in (columns, rows)]
    (x, y), side = [first + last - 1 for first, last in ends], max(last - first for first, last in ends)
    return float(x), float(y), float(side)


def _affine(mirror: Tensor, side: Tensor, centre: Tensor) -> Tensor:
    """(B, 2, 3) of ``affine_grid``: squares of ``side`` times the image's around ``centre`` (B, 2)."""
    theta = torch.zeros(len(side), 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = torch.where(mirror, -side, side), side
    theta[:, :, 2] = centre
    return theta


def _whole(count: int, rng: torch.Generator) -> Tensor:
    """Nearly the whole image: mirrored or not, a little shifted and zoomed."""
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


def jitter(images: Tensor, targets: Targets, augmentation: Augmentation) -> tuple[Tensor, Targets]:
    """Place, light, blur and noise: chosen once per pair and used for both sides and, place, for the maps.

    Args:
        images: (2B, 3, S, S), chosen first.
        targets: of the whole images.
        augmentation: for these pairs; the side of its grain is that of what comes out.
    """
    size, theta = augmentation.grain.shape[-1], augmentation.theta.repeat(2, 1, 1)
    moved = _weather(_warp(images, theta, "border", size), augmentation)
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


def _weather(images: Tensor, augmentation: Augmentation) -> Tensor:
    """Light, blur and noise on (2B, 3, H, H)."""
    gain, lift, blur, noise = augmentation.weather.repeat(2, 1)[:, :, None, None, None].unbind(1)
    images = images * (1 + TONE * (2 * gain - 1)) + TONE * (2 * lift - 1)
    soft = F.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    return images.lerp(soft, blur**2) + NOISE * noise**2 * augmentation.grain.repeat(2, 1, 1, 1)


def _warp(values: Tensor, theta: Tensor, padding: str, size: int) -> Tensor:
    """Affine resampling of (2B, C, H, W) to (2B, C, size, size)."""
    grid = F.affine_grid(theta, [*values.shape[:2], size, size], align_corners=False)
    return F.grid_sample(values, grid, mode="bilinear", padding_mode=padding, align_corners=False)
