"""What happens around the steps of an alignment run: trackers, warnings, validation, early stop and snapshots."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from asap.align.monitors import ChosenDegradationMonitor, PredictionNormMonitor
from asap.align.trainer import Metrics
from asap.stores.references import ReferenceStore
from asap.workflows.training.loop import Loop, Monitor
from asap.workflows.training.trackers import Trackers
from asap.workflows.training.validation import Report, Validation

__all__ = ["AlignmentMonitor", "SaveWeights", "StopRules", "ValidationHistory"]

SaveWeights = Callable[[Path, Mapping[str, object]], None]
"""Writes the weights that the policy has now, and their manifest with these notes, to a folder. Collective."""
BEST: Final = "best"
SNAPSHOTS: Final = "snapshots"
VALIDATION: Final = "validation"


@dataclass(frozen=True, kw_only=True)
class StopRules:
    """When a run ends early; None: never."""

    rise: float | None = None
    """Once the chosen side's error, smoothed, is this share above the reference's."""
    drift: float | None = None
    """Once | |v_theta| / |v_ref| - 1 |, smoothed, is above this."""
    texture: float | None = None
    """Once fine detail or the cell grid of the validation images is this many times that before the first step."""


@dataclass
class ValidationHistory:
    """What validations have shown so far; plain values, so that a checkpoint can hold them."""

    base: dict[str, float] | None = None
    """Numbers of the first one."""
    best_step: int | None = None
    best_loss: float | None = None
    last: dict[str, float] | None = None
    """Numbers of the last one."""
    texture: float = 1.0
    """Of the last one, see ``Report.texture``."""

    def add(self, report: Report) -> bool:
        """Take a report; True if its held-out loss is the lowest so far."""
        if self.base is None:
            self.base = report.numbers
        self.last, self.texture = report.numbers, report.texture(self.base)
        loss = report.numbers.get("loss")
        if loss is None or (self.best_loss is not None and loss >= self.best_loss):
            return False
        self.best_step, self.best_loss = report.step, loss
        return True


class AlignmentMonitor(Monitor):
    """Watches one alignment run."""

    def __init__(
        self,
        out: Path,
        *,
        validation: Validation,
        validate_every: int,
        snapshots: frozenset[int],
        stop: StopRules,
        references: ReferenceStore | None,
        start_trackers: Callable[[int], Trackers],
        save: SaveWeights,
        report: Callable[[str], None],
    ) -> None:
        """Begin before the first step.

        Args:
            out: folder of the run.
            validation: measures the policy.
            validate_every: steps between two validations; 0: none.
            snapshots: numbers of steps after which the weights are saved as well.
            stop: when the run ends early.
            references: cache of the reference's errors, saved with every checkpoint.
            start_trackers: starts the trackers, given the number of the first step to come.
            save: writes weights.
            report: receives warnings.
        """
        self.out, self.validation, self.validate_every, self.snapshots = out, validation, validate_every, snapshots
        self.stop, self.references, self.save, self.report = stop, references, save, report
        self._start_trackers = start_trackers
        self._degradation, self._norm, self.history = (
            ChosenDegradationMonitor(),
            PredictionNormMonitor(),
            ValidationHistory(),
        )

    def start(self, loop: Loop) -> None:
        """Start the trackers, and validate before the first step of all."""
        self.trackers = self._start_trackers(loop.done + 1)
        if self.validate_every and self.history.base is None:
            self._validate(loop)

    def after_step(self, loop: Loop, row: Metrics) -> str:
        """Track, warn, validate and save what is due; returns why the run must end, or empty."""
        self.trackers.log(loop.done, row, group="train")
        self._norm.update(row)
        if self._degradation.update(row):
            self._warn(loop)
        if self.validate_every and loop.done % self.validate_every == 0:
            self._validate(loop)
        if loop.done in self.snapshots:
            self._save(loop, self.out / SNAPSHOTS / f"step-{loop.done:06d}")
        return self._reason_to_stop()

    def after_checkpoint(self, loop: Loop) -> None:
        """Keep the reference's errors."""
        if self.references and loop.world.is_main:
            self.references.save()

    def state(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "degradation": asdict(self._degradation),
            "norm": asdict(self._norm),
            "history": asdict(self.history),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what ``state`` returned."""
        self._degradation = ChosenDegradationMonitor(**state["degradation"])
        self._norm = PredictionNormMonitor(**state["norm"])
        self.history = ValidationHistory(**state["history"])

    def _validate(self, loop: Loop) -> None:
        """Measure held-out pairs and images; save the weights if they are the best so far."""
        report, images = self.validation.run(loop, self.out / VALIDATION / f"step-{loop.done:06d}")
        best = self.history.add(report)
        if loop.log:
            loop.log.validate(loop.done, report.row())
        self.trackers.log(loop.done, report.flat(), group="held_out")
        if images is not None:
            self.trackers.show(loop.done, "validation", images)
        if best and loop.done:
            self._save(loop, self.out / BEST, held_out=report.numbers)

    def _save(self, loop: Loop, folder: Path, **notes: object) -> None:
        with loop.averaged():
            self.save(folder, {"steps": loop.done, **notes})

    def _warn(self, loop: Loop) -> None:
        found = self._degradation
        text = (
            f"step {loop.done}: delta grows ({found.delta:.4f}) while the chosen side's error is {found.rise:.1%} "
            "above the reference's; fewer steps, a lower lr or an anchor may help"
        )
        if loop.log:
            loop.log.warn(loop.done, text)
        self.report(f"warning: {text}")

    def _reason_to_stop(self) -> str:
        stop, chosen, drift, texture = self.stop, self._degradation, self._norm, self.history.texture
        if chosen.exceeds(stop.rise):
            rise = f"{chosen.rise:.1%}"
            return f"the chosen side's error is {rise} above the reference's, more than the {stop.rise:.1%} allowed"
        if drift.exceeds(stop.drift):
            return f"|v_theta| / |v_ref| is {drift.drift:.1%} away from 1, more than the {stop.drift:.1%} allowed"
        if stop.texture is not None and texture > stop.texture:
            return (
                f"fine detail or cell grid of the validation images is {texture:.2f} times that before the first step, "
                f"more than the {stop.texture:.2f} allowed"
            )
        return ""
