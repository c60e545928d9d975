"""The one trainer: what a step is, from pairs to moved weights. It opens no file and knows no model family.

``Trainer.step`` yields one log row; saving, logging and stopping are the caller's. All randomness of a step is named
by (seed, step, slot, draw), so a trainer restored from ``state()`` goes on as if it had never stopped.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor

from asap.align.batch import PairSource, TimeSampler, draw, slots_of_step, to_device
from asap.align.methods import LossSettings, Method, pair_losses
from asap.align.metrics import per_pair, summarise
from asap.align.policy import Denoise, Policy
from asap.align.step import NoisePath, StepErrors, measure, pair_errors
from asap.core.errors import ConfigError, TrainingError

__all__ = ["Path", "Precision", "ReferenceCache", "TrainSettings", "Trainer", "fast_bf16"]

Precision = Literal["fp32", "bf16", "auto"]


class Path(NoisePath, TimeSampler, Protocol):
    """A noise path as the trainer needs it."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How a run steps; what it steps on is ``LossSettings``."""

    steps: int
    batch_size: int = 12
    """Pairs a micro-batch and process."""
    grad_accum: int = 1
    """Micro-batches a step."""
    lr: float = 1e-5
    warmup: int = 0
    """Steps over which the learning rate rises linearly from lr / warmup."""
    weight_decay: float = 0.0
    max_grad_norm: float = 0.0
    """Gradients are scaled down to this norm; 0 means never. Adam bounds each step by itself, and a norm that suits one
    loss clips every step of another: (delta/tau - 1)^2 starts at norms around 150, which a limit of 1 would hide from
    the optimizer together with the fact that they vanish at the margin."""
    draws: int = 1
    """(noise, time) draws a pair, averaged inside delta."""
    time_range: tuple[float, float] = (0.0, 1.0)
    seed: int = 0
    precision: Precision = "auto"
    """Of the forwards; weights, errors and losses stay float32. ``auto`` is bf16 where the device is faster in it."""
    ema: float = 0.0
    """Decay of an average of the trained weights, which is then what is saved; 0 means none."""
    reuse_reference: bool = False
    """Keep the reference's errors beside the latents, for further runs of the same seed, batch and draws."""
    stop_on_rise: float | None = None
    """End early once the winner's error, smoothed over 20 steps, is this share above the reference's; None: never."""

    def faults(self) -> list[str]:
        """What is out of range, in words."""
        low, high = self.time_range
        checks = {
            f"steps must be >= 1, got {self.steps}": self.steps >= 1,
            f"batch_size must be >= 1, got {self.batch_size}": self.batch_size >= 1,
            f"grad_accum must be >= 1, got {self.grad_accum}": self.grad_accum >= 1,
            f"lr must be > 0, got {self.lr}": self.lr > 0,
            f"warmup must be >= 0, got {self.warmup}": self.warmup >= 0,
            f"weight_decay must be >= 0, got {self.weight_decay}": self.weight_decay >= 0,
            f"max_grad_norm must be >= 0, got {self.max_grad_norm}": self.max_grad_norm >= 0,
            f"draws must be >= 1, got {self.draws}": self.draws >= 1,
            f"time_range must be 0 <= low < high <= 1, got {self.time_range}": 0 <= low < high <= 1,
            f"precision must be fp32, bf16 or auto, got {self.precision!r}": self.precision in ("fp32", "bf16", "auto"),
            f"stop_on_rise must be > 0, got {self.stop_on_rise}": self.stop_on_rise is None or self.stop_on_rise > 0,
            f"ema must be in [0, 1), got {self.ema}": 0 <= self.ema < 1,
        }
        return [text for text, good in checks.items() if not good]


class ReferenceCache(Protocol):
    """Remembers the reference's residual sums of one micro-batch, which depend on pairs, draws and model alone."""

    def get(self, step: int, slots: tuple[int, ...]) -> Tensor | None:
        """(R, 3) packed residuals, or None."""

    def put(self, step: int, slots: tuple[int, ...], values: Tensor) -> None:
        """Keep them."""


def fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 there: a CUDA device that has it, or a CPU with its instructions."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return device.type == "cpu" and bool(supported)


class Trainer:
    """Moves a policy's trainable weights by one method."""

    def __init__(
        self,
        policy: Policy,
        reference: Denoise,
        path: Path,
        source: PairSource,
        *,
        method: Method,
        loss: LossSettings,
        settings: TrainSettings,
        reference_cache: ReferenceCache | None = None,
        device: str | None = None,
    ) -> None:
        """Prepare optimizer and device.

        Args:
            policy: its trainable parameters are moved.
            reference: gradient-free denoiser to hold the policy against.
            path: the backbone's noise path.
            source: the pairs; at least one.
            method: shape of the loss.
            loss: its settings.
            settings: how to step.
            reference_cache: spares the reference's forward for draws it knows.
            device: "cpu" keeps everything there; None lets accelerate choose.

        Raises:
            ConfigError: settings out of range, or no pairs.
        """
        faults = [*settings.faults(), *loss.faults()]
        if not len(source):
            faults.append("training needs at least one pair, got none")
        if faults:
            raise ConfigError.collect(faults)
        # Mixed precision is ours (see measure), so accelerate must not wrap the forward in its own.
        self.accelerator: Any = Accelerator(mixed_precision="no", cpu=device == "cpu")
        self.settings, self.method, self.loss = settings, method, loss
        self.path, self.source, self.reference, self.cache = path, source, reference, reference_cache
        self.policy = policy
        self.bf16 = settings.precision == "bf16" or (
            settings.precision == "auto" and fast_bf16(self.accelerator.device)
        )
        self.weights = policy.trainable()
        on_cpu = self.accelerator.device.type == "cpu"
        optimizer = torch.optim.AdamW(
            list(self.weights.values()), lr=settings.lr, weight_decay=settings.weight_decay, fused=on_cpu or None
        )
        self.model, self.optimizer = self.accelerator.prepare(policy, optimizer)
        self.average = [value.detach().clone() for value in self.weights.values()] if settings.ema else []
        self.done = 0

    @property
    def global_batch(self) -> int:
        """Pairs a step over all micro-batches and processes."""
        return int(self.settings.batch_size * self.settings.grad_accum * self.accelerator.num_processes)

    def steps(self, *, until: int | None = None) -> Iterator[dict[str, float | None]]:
        """Take steps up to ``until`` (default: ``settings.steps``); yields one log row after each.

        Raises:
            TrainingError: the loss or the gradient is not a number; the weights are those of the last good step.
        """
        last = self.settings.steps if until is None else until
        while self.done < last:
            yield self.step()

    def step(self) -> dict[str, float | None]:
        """One optimizer step; returns its log row. Raises as ``steps``."""
        start, settings = time.perf_counter(), self.settings
        self._set_learning_rate()
        pairs = slots_of_step(settings.seed, self.done, self.global_batch, len(self.source))
        logged = []
        for micro in range(settings.grad_accum):
            last = micro == settings.grad_accum - 1
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                logged.append(self._backward(self._slots(micro), pairs))
        norm = self._gradient_norm()
        row = summarise([self.accelerator.gather(values) for values in logged])
        self._refuse_nonsense(row["loss"], norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            torch._foreach_lerp_(self.average, [value.data for value in self.weights.values()], 1 - settings.ema)
        self.done += 1
        seconds = time.perf_counter() - start
        return {"step": self.done - 1, **row, "grad_norm": norm, "seconds": seconds}

    def _slots(self, micro: int) -> tuple[int, ...]:
        """The slots of this process's ``micro``-th micro-batch."""
        size = self.settings.batch_size
        first = (micro * self.accelerator.num_processes + self.accelerator.process_index) * size
        return tuple(range(first, first + size))

    def _backward(self, slots: tuple[int, ...], pairs: list[int]) -> Tensor:
        """Add one micro-batch's gradient; returns what to log of its pairs."""
        found = self._look(slots, [pairs[slot] for slot in slots])
        losses, terms = pair_losses(self.method.shape, pair_errors(found, self.loss.alpha), self.loss)
        self.accelerator.backward(losses.mean() / self.settings.grad_accum)
        return per_pair(found, losses, terms, alpha=self.loss.alpha, tau=self.loss.tau)

    def _look(self, slots: tuple[int, ...], indices: list[int]) -> StepErrors:
        settings = self.settings
        batch = self.source.batch(indices)
        draws = draw(
            self.path,
            batch.winner.shape[1:],
            seed=settings.seed,
            step=self.done,
            slots=slots,
            draws=settings.draws,
            time_range=settings.time_range,
        )
        batch, draws = to_device(batch, draws, self.accelerator.device)
        known = self.cache.get(self.done, slots) if self.cache else None
        found = measure(
            self.model,
            self.reference,
            self.path,
            batch,
            draws,
            alpha=self.loss.alpha,
            cast=self._cast(),
            known_reference=known,
        )
        if self.cache and known is None:
            self.cache.put(self.done, slots, found.reference.packed())
        return found

    def _cast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.accelerator.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    def _set_learning_rate(self) -> None:
        """A pure function of the step, so that nothing of it need be saved."""
        warmup = self.settings.warmup
        factor = min(1.0, (self.done + 1) / warmup) if warmup else 1.0
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * factor

    def _gradient_norm(self) -> float:
        """Norm before clipping."""
        limit = self.settings.max_grad_norm or math.inf
        return float(self.accelerator.clip_grad_norm_(list(self.weights.values()), limit))

    def _refuse_nonsense(self, loss: float | None, norm: float) -> None:
        if loss is not None and math.isfinite(loss) and math.isfinite(norm):
            return
        self.optimizer.zero_grad(set_to_none=True)
        raise TrainingError(
            f"step {self.done}: loss {loss} and gradient norm {norm} are not both finite numbers; "
            "lower lr, use precision fp32, or check the pairs"
        )

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the trained weights are their moving average (if one is kept), for saving."""
        if not self.average:
            yield
            return
        kept = [value.data for value in self.weights.values()]
        for value, mean in zip(self.weights.values(), self.average, strict=True):
            value.data = mean.clone()
        try:
            yield
        finally:
            for value, own in zip(self.weights.values(), kept, strict=True):
                value.data = own

    def state(self) -> dict[str, Any]:
        """All that a later ``restore`` needs, as tensors and plain values."""
        return {
            "step": self.done,
            "weights": {name: value.detach().cpu() for name, value in self.weights.items()},
            "average": [value.cpu() for value in self.average],
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``; the trainer must be built with the same settings (``steps`` may differ).

        Raises:
            TrainingError: the state belongs to another model or set of trained weights.
        """
        saved: dict[str, Tensor] = state["weights"]
        if {name: tuple(value.shape) for name, value in saved.items()} != {
            name: tuple(value.shape) for name, value in self.weights.items()
        }:
            raise TrainingError("the checkpoint trains other weights than this run; choose another output folder")
        with torch.no_grad():
            for name, value in self.weights.items():
                value.copy_(saved[name])
            for mean, kept in zip(self.average, state["average"], strict=True):
                mean.copy_(kept)
        self.optimizer.load_state_dict(state["optimizer"])
        self.done = int(state["step"])
