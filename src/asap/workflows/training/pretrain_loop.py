"""One training phase: steps, averaged weights, checkpoints that resume exactly, and a log of lines in JSON.

The phase knows no data: ``loss(step)`` must depend on the step's number alone (seeds derived from it), never on what
was drawn before. Then a run that was killed and restarted goes through the same numbers as one that was not.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from asap.backbones.mini.fit import Average, schedule
from asap.core.errors import StoreError, TrainingError
from asap.core.files import append_text, write_text
from asap.stores.checkpoints import CheckpointStore

__all__ = ["Phase", "run_phase"]

LOG_EVERY = 25
"""Steps between two lines of the log."""
CLIP = 1.0
"""Largest norm of the gradient."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """What is trained, on what, and for how long."""

    name: str
    modules: nn.Module
    loss: Callable[[int], tuple[Tensor, Mapping[str, Tensor]]]
    """Loss and terms to log of step i; depends on i alone."""
    evaluate: Callable[[int], Mapping[str, float]]
    """Figures to log after i steps, computed while the averaged weights are in place."""
    steps: int
    batch: int
    """Images a step, for the rate in the log."""
    lr: float
    warmup: int
    decay: float
    """Of the averaged weights."""
    evaluate_every: int


def run_phase(phase: Phase, folder: Path, log: Path, *, save_seconds: float) -> None:
    """Train a phase to its end, from its newest checkpoint if there is one; averaged weights are in place afterwards.

    Raises:
        TrainingError: the loss is no number.
        StoreError: the checkpoint is damaged, or the log cannot be read.
        InputError: log or checkpoint cannot be written.
    """
    store = CheckpointStore(folder / phase.name)
    parameters = [p for p in phase.modules.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=phase.lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    saved = store.latest()
    if saved is not None:
        phase.modules.load_state_dict(saved["modules"])
        optimizer.load_state_dict(saved["optimizer"])
    average = Average(parameters, phase.decay)
    start = 0
    if saved is not None:
        start = int(saved["step"])
        average.restore(saved["average"])
    _trim(log, phase.name, start)
    _steps(phase, store, optimizer, average, log, start, save_seconds)
    phase.modules.eval()
    average.swap()


def _steps(
    phase: Phase,
    store: CheckpointStore,
    optimizer: torch.optim.Optimizer,
    average: Average,
    log: Path,
    start: int,
    save_seconds: float,
) -> None:
    phase.modules.train()
    saved_at = logged_at = time.monotonic()
    logged = start
    for step in range(start, phase.steps):
        loss, terms = _one_step(phase, optimizer, average, step)
        done = step + 1
        now = time.monotonic()
        if done % LOG_EVERY == 0 or done == phase.steps:
            rate = (done - logged) * phase.batch / max(now - logged_at, 1e-9)
            values = {name: round(float(term), 6) for name, term in terms.items()}
            _write(
                log,
                {"phase": phase.name, "step": done, "loss": round(loss, 6), "images_per_s": round(rate, 1), **values},
            )
            logged, logged_at = done, now
        if done % phase.evaluate_every == 0 or done == phase.steps:
            _write(log, {"phase": phase.name, "step": done, **_evaluate(phase, average, done)})
            logged_at = time.monotonic()
        if now - saved_at >= save_seconds or done == phase.steps:
            _save(phase, store, optimizer, average, done)
            saved_at = time.monotonic()


def _one_step(
    phase: Phase, optimizer: torch.optim.Optimizer, average: Average, step: int
) -> tuple[float, Mapping[str, Tensor]]:
    for group in optimizer.param_groups:
        group["lr"] = phase.lr * schedule(step, phase.steps, phase.warmup)
    loss, terms = phase.loss(step)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(phase.modules.parameters(), CLIP)
    optimizer.step()
    value = loss.item()  # only now: before the backward, a GPU would wait for it
    if not math.isfinite(value):
        raise TrainingError(f"the {phase.name} loss is {value} at step {step}; lower the learning rate and start over")
    average.update(step)
    return value, terms


def _evaluate(phase: Phase, average: Average, done: int) -> Mapping[str, float]:
    """Figures of the averaged weights; training mode and weights are as before afterwards."""
    average.swap()
    phase.modules.eval()
    try:
        return phase.evaluate(done)
    finally:
        average.swap()
        phase.modules.train()


def _save(phase: Phase, store: CheckpointStore, optimizer: torch.optim.Optimizer, average: Average, done: int) -> None:
    state: dict[str, Any] = {
        "step": done,
        "modules": phase.modules.state_dict(),
        "average": average.values,
        "optimizer": optimizer.state_dict(),
    }
    store.save(done, state)


def _write(log: Path, line: Mapping[str, object]) -> None:
    append_text(log, json.dumps(line) + "\n")
    shown = " ".join(f"{name} {value}" for name, value in line.items())
    print(shown, flush=True)


def _trim(log: Path, phase: str, start: int) -> None:
    """Drop lines of this phase after ``start``: they are about to be computed again."""
    if not log.exists():
        return
    try:
        known = log.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise StoreError(f"cannot read {log}: {error.strerror or error}") from error
    lines = []
    for text in known:
        try:
            line = json.loads(text)
        except ValueError:
            continue  # a line cut short by a kill
        if line.get("phase") != phase or line.get("step", 0) <= start:
            lines.append(text)
    write_text(log, "".join(text + "\n" for text in lines))
