"""The training loop by hand: its learning rate, its moving average, and signals that wait for a checkpoint."""

import math
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from asap.core.errors import InputError, TrainingError
from asap.stores.checkpoints import CheckpointStore
from asap.stores.trainlog import TrainLog, read_log
from asap.workflows.training.loop import Loop, LoopSettings, LossTask, Monitor, Schedule


def loop(*, factor: float = 1.0, steps: int = 4, ema: float = 0.0) -> Loop:
    """Gradient descent on factor * w from w = 0: every step of rate 1 subtracts the factor."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    task = LossTask(model, lambda step: (factor * model.weight.sum(), {}), torch.optim.SGD(model.parameters(), lr=1.0))
    return Loop(task, LoopSettings(name="line", steps=steps, schedule=Schedule(lr=1.0), ema=ema))


def weight(run: Loop) -> float:
    return float(run.task.weights["weight"].detach())


def take(run: Loop, folder: Path, monitor: Monitor | None = None) -> None:
    run.run(CheckpointStore(folder), monitor or Monitor(), lambda done: TrainLog(folder / "log.jsonl", done=done))


def test_the_learning_rate_rises_stays_and_falls() -> None:
    flat = Schedule(lr=2.0, warmup=4)
    assert [flat.at(step) for step in (0, 1, 3, 100)] == [0.5, 1.0, 2.0, 2.0]
    cosine = Schedule(lr=2.0, warmup=2, decay=(2, 6), floor=0.1)
    assert [cosine.at(step) for step in (0, 2, 4, 6)] == pytest.approx([1.0, 2.0, 1.1, 0.2])


def test_the_average_is_applied_for_a_while_or_for_good() -> None:
    run = loop(ema=0.5)
    list(run.steps(2))  # weights -1, -2: averages -0.5, -1.25
    with run.averaged():
        assert weight(run) == -1.25
    assert weight(run) == -2
    assert run.average is not None
    run.average.keep()
    assert weight(run) == -1.25


def test_a_loss_that_is_not_finite_leaves_the_last_good_weights() -> None:
    run = loop(factor=math.inf)
    with pytest.raises(TrainingError, match="line, step 0: loss nan"):
        run.step()
    assert weight(run) == 0


class Interrupted(Monitor):
    def after_step(self, loop: Loop, row: dict[str, float | None]) -> str:
        if loop.done == 2:
            signal.raise_signal(signal.SIGINT)
        return "" if loop.done < 3 else "enough"


def test_a_signal_waits_for_a_checkpoint_and_a_monitor_ends_a_run(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        take(loop(), tmp_path, Interrupted())
    saved = CheckpointStore(tmp_path).latest()
    assert saved is not None
    assert saved["step"] == 2
    resumed = loop()
    take(resumed, tmp_path, Interrupted())
    assert (resumed.done, resumed.stopped, weight(resumed)) == (3, "enough", -3)
    assert [row["step"] for row in read_log(tmp_path / "log.jsonl")] == [0, 1, 2]


def test_fewer_steps_than_taken_are_refused(tmp_path: Path) -> None:
    take(loop(steps=3), tmp_path)
    with pytest.raises(InputError, match="has 3 steps already, more than the 2 asked for"):
        take(loop(steps=2), tmp_path)
