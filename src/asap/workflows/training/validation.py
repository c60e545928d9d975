"""Validation of an alignment run: held-out pairs at fixed noise, and images at fixed seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asap.align.batch import to_device
from asap.align.heldout import HELD_OUT_COLUMNS, fixed_noise, held_out
from asap.align.trainer import Trainer
from asap.backbones import Backbone
from asap.core.files import write_bytes
from asap.stores.png import encode
from asap.tensors.texture import grid_energy, high_frequency
from asap.workflows.runtime.distributed import World
from asap.workflows.training.config import ValidationConfig
from asap.workflows.training.latents import LatentPairs
from asap.workflows.training.loop import Loop

__all__ = ["HeldOut", "Report", "Validation"]


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Encoded pairs of the split ``val`` and what is known of each."""

    source: LatentPairs
    parts: tuple[str, ...]
    operations: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Report:
    """One validation."""

    step: int
    """Optimizer steps taken before it."""
    numbers: dict[str, float]
    """Means over held-out pairs (loss, accuracy, delta, winner_rise) and over images (high_frequency, grid)."""
    pairs: int = 0
    by_part: dict[str, dict[str, float]] = field(default_factory=dict)
    """Accuracy and number of pairs (n) of each part; accuracy is the share of pairs whose delta is above 0."""
    by_operation: dict[str, dict[str, float]] = field(default_factory=dict)

    def row(self) -> dict[str, object]:
        """As the log holds it."""
        groups = {"pairs": self.pairs, "by_part": self.by_part, "by_operation": self.by_operation}
        return {**self.numbers, **groups}

    def flat(self) -> dict[str, float | None]:
        """As trackers show it."""
        named = [("part", self.by_part), ("operation", self.by_operation)]
        shares = {f"accuracy_{kind}/{key}": value["accuracy"] for kind, group in named for key, value in group.items()}
        return {**self.numbers, **shares}

    def texture(self, base: Mapping[str, float]) -> float:
        """The larger of fine detail and cell grid as multiples of those of ``base``; 1 without images."""
        names = [name for name in ("high_frequency", "grid") if name in self.numbers and base.get(name)]
        return max((self.numbers[name] / base[name] for name in names), default=1.0)


@dataclass
class Validation:
    """Measures the policy with the weights that would be saved now. Collective."""

    trainer: Trainer
    backbone: Backbone
    world: World
    watch: ValidationConfig
    held: HeldOut | None
    prompts: tuple[str, ...]

    def run(self, loop: Loop, folder: Path) -> tuple[Report, npt.NDArray[np.uint8] | None]:
        """Measure and generate; the images are written to ``folder`` as 00.png, 01.png...; raises ``InputError``."""
        with loop.averaged():
            rows = self._pairs()
            images = self._images()
        numbers: dict[str, float] = {}
        if rows:
            means = np.asarray(rows, dtype=np.float64).mean(axis=0)
            numbers = dict(zip(HELD_OUT_COLUMNS, map(float, means), strict=True))
            numbers["accuracy"] = _accuracy(rows)
        if images is not None:
            cell = self.backbone.resolution // self.backbone.latent_shape[1]
            numbers |= {"high_frequency": high_frequency(images), "grid": grid_energy(images, cell)}
            self.world.on_main(lambda: _write(folder, images))
        groups: tuple[dict[str, dict[str, float]], ...] = ({}, {})
        if self.held is not None:
            groups = _grouped(rows, self.held.parts), _grouped(rows, self.held.operations)
        by_part, by_operation = groups
        report = Report(step=loop.done, numbers=numbers, pairs=len(rows), by_part=by_part, by_operation=by_operation)
        return report, images

    def _pairs(self) -> list[tuple[float, ...]]:
        if self.held is None:
            return []
        groups = self.held.source.groups()
        many = self._pairs_at_once
        chunks = [group[start : start + many] for group in groups for start in range(0, len(group), many)]
        found = [row for rows in self.world.map(self._chunk, chunks) for row in rows]
        places = [index for group in groups for index in group]
        return [row for _, row in sorted(zip(places, found, strict=True))]

    @property
    def _pairs_at_once(self) -> int:
        """As many forwards as a step of training makes at most: pairs times noise samples."""
        settings = self.trainer.settings
        return max(1, settings.batch_size * settings.noise_samples // self.watch.held_out_samples)

    def _chunk(self, indices: Sequence[int]) -> list[tuple[float, ...]]:
        assert self.held is not None
        trainer, batch = self.trainer, self.held.source.batch(indices)
        seed, samples = trainer.settings.seed, self.watch.held_out_samples
        noise = fixed_noise(batch.image_shape, seed=seed, pairs=indices, samples=samples)
        return held_out(trainer.objective, *to_device(batch, noise, trainer.accelerator.device))

    def _images(self) -> npt.NDArray[np.uint8] | None:
        """(B, H, W, 3) of the prompts at seeds 0, 1...; each process draws some."""
        jobs = list(enumerate(self.prompts))
        if not jobs:
            return None
        # Sharded weights need equally many forwards in all processes.
        even = [*jobs, *jobs[-1:] * (-len(jobs) % self.world.size)]
        shares = [even[start :: self.world.size] for start in range(self.world.size)]
        drawn = dict(item for part in self.world.map(self._draw, shares) for item in part)
        return np.stack([drawn[seed] for seed, _ in jobs])

    def _draw(self, jobs: Sequence[tuple[int, str]]) -> list[tuple[int, npt.NDArray[np.uint8]]]:
        seeds, prompts = zip(*jobs, strict=True)
        images = self.backbone.sample(prompts, seeds, steps=self.watch.validation_steps)
        return list(zip(seeds, images, strict=True))


def _write(folder: Path, images: npt.NDArray[np.uint8]) -> None:
    for number, image in enumerate(images):
        write_bytes(folder / f"{number:02d}.png", encode(image))


def _accuracy(rows: Sequence[tuple[float, ...]]) -> float:
    delta = HELD_OUT_COLUMNS.index("delta")
    return float(np.mean([row[delta] > 0 for row in rows]))


def _grouped(rows: Sequence[tuple[float, ...]], names: Sequence[str]) -> dict[str, dict[str, float]]:
    groups: dict[str, list[Any]] = {}
    for row, name in zip(rows, names, strict=True):
        groups.setdefault(name, []).append(row)
    return {name: {"accuracy": _accuracy(group), "n": len(group)} for name, group in sorted(groups.items())}
