"""The one training loop: alignment, pretraining of the embedded model and judge training all run through it.

A task computes the gradient of step k. Everything else is here: learning rate, gradient clipping, the optimizer's step,
moving average, checkpoints, resume, log, progress, early stop and interruption. The randomness of step k is derived
from (seed, k, rank) and the learning rate is a function of k, so a resumed run gives the same weights as an
uninterrupted one.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from asap.align.precision import LossScale
from asap.align.trainer import Metrics, TrainingTask
from asap.core.errors import InputError, TrainingError
from asap.stores.checkpoints import CheckpointStore
from asap.stores.trainlog import TrainLog
from asap.tensors.sharded import local, shard_like, swapped, whole
from asap.workflows.runtime.distributed import World
from asap.workflows.runtime.progress import progress

__all__ = ["Loop", "LoopSettings", "LossTask", "Monitor", "MovingAverage", "PeriodicEvaluation", "Schedule"]

SHOWN: Final = ("loss", "delta", "accuracy", "images_per_s")
"""Columns shown beside the progress bar, where a run has them."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Learning rate of each step: a linear warm-up, then constant, or half a cosine down to a share of the peak."""

    lr: float
    """At its highest."""
    warmup: int = 0
    """Steps over which it rises linearly, from lr / warmup."""
    decay: tuple[int, int] | None = None
    """Steps between which it falls; None: it stays."""
    floor: float = 0.0
    """Share of ``lr`` that it falls to."""

    def at(self, step: int) -> float:
        """Learning rate of ``step``, counted from 0."""
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if self.decay is None:
            return self.lr * rise
        start, end = self.decay
        cosine = math.cos(math.pi * max(0, step - start) / max(1, end - start))
        return self.lr * (rise * (self.floor + (1 - self.floor) * 0.5 * (1 + cosine)))


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How a loop runs."""

    name: str
    """Shown beside the progress bar and in errors."""
    steps: int
    schedule: Schedule
    max_grad_norm: float = 0.0
    """Gradients are scaled down to this norm; 0: never."""
    ema: float = 0.0
    """Decay of the moving average of the weights; 0: none is kept."""
    ema_warmup: bool = False
    """Let a young average forget faster: the decay of step k is at most (1 + k) / (10 + k)."""
    images: int = 0
    """Images per step, to log how many are seen per second; 0: not logged."""
    log_every: int = 1
    """Steps between two rows of the log."""
    checkpoint_every: int = 0
    """Steps between two checkpoints; 0: as ``checkpoint_seconds`` says. The last step has one in any case."""
    checkpoint_seconds: float = math.inf
    """Seconds between two checkpoints."""


class LossTask:
    """A task whose gradient comes from one backward of a loss, in one process."""

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[int], tuple[Tensor, Mapping[str, Tensor]]],
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """Train ``model`` on ``loss``.

        Args:
            model: its parameters that require a gradient are trained.
            loss: loss and further columns to log of a step, scalar tensors; it depends on the weights and the step
                alone.
            optimizer: of these parameters.
        """
        self.model, self.optimizer, self._loss = model, optimizer, loss
        self.weights = {name: value for name, value in model.named_parameters() if value.requires_grad}

    def backward(self, step: int, scale: float = 1.0) -> Metrics:
        """See ``TrainingTask``."""
        loss, terms = self._loss(step)
        (loss * scale if scale != 1 else loss).backward()  # type: ignore[no-untyped-call]
        found = {"loss": loss, **terms}
        values = torch.stack([value.detach().float() for value in found.values()]).cpu()  # one wait for a GPU
        return dict(zip(found, map(float, values), strict=True))

    def clip(self, max_norm: float) -> float:
        """See ``TrainingTask``."""
        return float(nn.utils.clip_grad_norm_(self.weights.values(), max_norm or math.inf))

    def state(self) -> dict[str, Any]:
        """See ``TrainingTask``."""
        return {"modules": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See ``TrainingTask``."""
        self.model.load_state_dict(state["modules"])
        self.optimizer.load_state_dict(state["optimizer"])


class MovingAverage:
    """Exponential moving average of trained weights, whole or sharded."""

    def __init__(self, task: TrainingTask, decay: float, *, warmup: bool = False) -> None:
        """Start at the current weights; arguments as in ``LoopSettings``."""
        self.task, self.decay, self.warmup = task, decay, warmup
        self.values = {name: value.detach().clone() for name, value in task.weights.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Include the weights as they are after ``step``."""
        decay = min(self.decay, (1 + step) / (10 + step)) if self.warmup else self.decay
        weights = [local(value.data) for value in self.task.weights.values()]
        torch._foreach_lerp_([local(value) for value in self.values.values()], weights, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the trained weights are their averages."""
        with swapped(self.task.model, self.task.weights, self.values):
            yield

    @torch.no_grad()
    def keep(self) -> None:
        """Make the averages the weights, for good."""
        for name, value in self.task.weights.items():
            local(value.data).copy_(local(self.values[name]))

    def state(self) -> list[Tensor]:
        """Whole averages on the CPU, in the order of the weights. Collective."""
        return [whole(value).cpu() for value in self.values.values()]

    @torch.no_grad()
    def restore(self, state: list[Tensor]) -> None:
        """Take what ``state`` returned."""
        for mean, saved in zip(self.values.values(), state, strict=True):
            mean.copy_(shard_like(mean, saved))


class Monitor:
    """What one kind of training does besides its steps; this one does nothing."""

    def start(self, loop: "Loop") -> None:
        """Called once, before the first step that is taken now."""

    def after_step(self, loop: "Loop", row: Metrics) -> str:
        """Called after each step with its log row; the returned reason, unless empty, ends the run early."""
        del loop, row
        return ""

    def after_checkpoint(self, loop: "Loop") -> None:
        """Called when a checkpoint was written."""

    def state(self) -> dict[str, Any]:
        """Plain values and tensors for the checkpoint."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what ``state`` returned; empty for a checkpoint of a monitor without state."""


class PeriodicEvaluation(Monitor):
    """Evaluates the averaged weights now and then, and after the last step."""

    def __init__(self, evaluate: Callable[[int], Mapping[str, float]], due: Callable[[int], bool]) -> None:
        """Evaluate when due.

        Args:
            evaluate: columns to log, given the number of steps taken; the model is in evaluation mode and has its
                averaged weights.
            due: whether to evaluate after so many steps.
        """
        self.evaluate, self.due = evaluate, due

    def after_step(self, loop: "Loop", row: Metrics) -> str:
        """Evaluate and log, if it is time."""
        del row
        if loop.done == loop.settings.steps or self.due(loop.done):
            loop.task.model.eval()
            with loop.averaged():
                found = self.evaluate(loop.done)
            loop.task.model.train()
            loop.record(found)
        return ""


class Loop:
    """Takes the steps of a task."""

    def __init__(
        self, task: TrainingTask, settings: LoopSettings, *, scale: LossScale | None = None, world: World | None = None
    ) -> None:
        """Begin before the first step.

        Args:
            task: computes gradients and holds weights and optimizer.
            settings: how to run.
            scale: of a float16 loss; None: 1.
            world: all processes of the run; None: this one alone.
        """
        self.task, self.settings = task, settings
        self.scale, self.world = scale or LossScale(), world or World()
        self.average = MovingAverage(task, settings.ema, warmup=settings.ema_warmup) if settings.ema else None
        self.done, self.seconds, self.stopped = 0, 0.0, ""
        self.log: TrainLog | None = None

    done: int
    """Steps taken."""
    seconds: float
    """Time in the loop over all sessions, without loading and encoding."""
    stopped: str
    """Why the run ended before its last step, or empty."""
    log: TrainLog | None
    """In the main process, while it runs."""

    def steps(self, until: int | None = None) -> Iterator[Metrics]:
        """Take steps until so many are done (default: all); yields the log row of each.

        Raises:
            TrainingError: the loss or the gradient is not finite; the weights are those of the last good step.
        """
        while self.done < (self.settings.steps if until is None else until):
            yield self.step()

    def step(self) -> Metrics:
        """One optimizer step; returns its log row. Raises as ``steps``."""
        task, scale = self.task, self.scale
        for group in task.optimizer.param_groups:
            group["lr"] = self.settings.schedule.at(self.done)
        row = task.backward(self.done, scale.value)
        if scale.active:
            held = [value.grad for value in task.weights.values() if value.grad is not None]
            torch._foreach_mul_(held, 1 / scale.value)
        norm = task.clip(self.settings.max_grad_norm)
        finite = math.isfinite(norm)
        if finite or not scale.active or scale.value <= 1:  # else float16 overflowed, and the step is left out
            self._check(row["loss"], norm)
            task.optimizer.step()
            if self.average:
                self.average.update(self.done)
        task.optimizer.zero_grad(set_to_none=True)
        scale.update(finite=finite)
        self.done += 1
        row["grad_norm"] = norm if finite else None
        return {**row, "loss_scale": scale.value} if scale.active else row

    def _check(self, loss: float | None, norm: float) -> None:
        if loss is not None and math.isfinite(loss) and math.isfinite(norm):
            return
        self.task.optimizer.zero_grad(set_to_none=True)
        raise TrainingError(
            f"{self.settings.name}, step {self.done}: loss {loss} and gradient norm {norm} must be finite; lower the "
            "learning rate, use precision fp32, or check the data"
        )

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the trained weights are their moving average, if one is kept."""
        if self.average is None:
            yield
            return
        with self.average.applied():
            yield

    def state(self) -> dict[str, Any]:
        """Everything that ``restore`` needs, as tensors and plain values. Collective."""
        average = self.average.state() if self.average else []
        return {"step": self.done, "average": average, "scale": asdict(self.scale), **self.task.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``, with the same settings except ``steps``.

        Raises:
            TrainingError: the state belongs to other weights.
        """
        self.task.restore(state)
        if self.average:
            self.average.restore(state["average"])
        self.scale = LossScale(**state.get("scale", asdict(self.scale)))
        self.done = int(state["step"])

    def run(
        self,
        checkpoints: CheckpointStore,
        monitor: Monitor,
        open_log: Callable[[int], TrainLog],
    ) -> None:
        """Take all steps that are left, from the newest checkpoint if there is one.

        SIGINT and SIGTERM are held back until a checkpoint is written (in a run of one process).

        Args:
            checkpoints: of this run.
            monitor: what else is to be done.
            open_log: the log, given the number of steps taken before; called in the main process alone.

        Raises:
            InputError: more steps are taken already than asked for, or a file cannot be written.
            StoreError: the checkpoint or the log is damaged.
            TrainingError: loss or gradient is not finite; the newest checkpoint stays.
        """
        if (saved := checkpoints.latest()) is not None:
            self.restore(saved)
            self.seconds = float(saved.get("seconds", 0.0))
            monitor.restore(saved.get("monitor", {}))
        if self.done > self.settings.steps:
            raise InputError(
                f"{checkpoints.root} has {self.done} steps already, more than the {self.settings.steps} asked for; ask "
                "for more, or start over with resume off"
            )
        self.log = self.world.on_main(lambda: open_log(self.done))
        settings = self.settings
        with (
            progress(settings.name, settings.steps, done=self.done, quiet=not self.world.is_main) as show,
            _held_signals(enabled=self.world.size == 1) as interrupted,
        ):
            monitor.start(self)
            began = saved_at = time.monotonic()
            before, taken, logged = self.seconds, 0.0, self.done
            while self.done < settings.steps and not self.stopped and not interrupted():
                start = time.monotonic()
                row = self.step()
                taken += time.monotonic() - start
                if self.done % settings.log_every == 0 or self.done == settings.steps:
                    seconds = taken / (self.done - logged)
                    row["seconds"] = seconds
                    if settings.images:
                        row["images_per_s"] = round(settings.images / max(seconds, 1e-9), 1)
                    self.record(row)
                    taken, logged = 0.0, self.done
                self.stopped = monitor.after_step(self, row)
                now = time.monotonic()
                self.seconds = before + now - began
                if self._checkpoint_due(now - saved_at) or interrupted():
                    self._save(checkpoints, monitor)
                    saved_at = now
                show(self.done, _words(row))

    def record(self, row: Mapping[str, object]) -> None:
        """Add a row to the log, in the main process."""
        if self.log:
            self.log.add(self.done, row)

    def _checkpoint_due(self, seconds: float) -> bool:
        every = self.settings.checkpoint_every
        due = (every and self.done % every == 0) or seconds >= self.settings.checkpoint_seconds
        return bool(due or self.stopped or self.done == self.settings.steps)

    def _save(self, checkpoints: CheckpointStore, monitor: Monitor) -> None:
        state = {**self.state(), "seconds": self.seconds, "monitor": monitor.state()}
        self.world.on_main(lambda: checkpoints.save(self.done, state))
        monitor.after_checkpoint(self)


def _words(row: Mapping[str, object]) -> str:
    return " ".join(f"{name} {row[name]:.4g}" for name in SHOWN if row.get(name) is not None)


@contextmanager
def _held_signals(*, enabled: bool) -> Iterator[Callable[[], bool]]:
    """Hold back the first SIGINT or SIGTERM until the context ends; yields whether one came. A second acts at once."""
    if not enabled or threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def release() -> None:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)

    def hold(number: int, _frame: object) -> None:
        received.append(number)
        release()

    for number in before:
        signal.signal(number, hold)
    try:
        yield lambda: bool(received)
    finally:
        release()
    if received:
        signal.raise_signal(received[0])
