"""The one trainer: what a step is, from pairs to moved weights. It opens no file and knows no model family.

``Trainer.step`` yields one log row; saving, logging and stopping are the caller's. All randomness of a step is named
by (seed, step, slot, draw), so a trainer restored from ``state()`` goes on as if it had never stopped.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from asap.align.batch import PairSource, Slots, cut, draw, to_device
from asap.align.gradients import GradientMode, Gradients, Look
from asap.align.methods import LossSettings, Method
from asap.align.metrics import per_pair, summarise
from asap.align.offload import is_offloaded
from asap.align.optimizers import OPTIMIZERS, OptimizerName, build_optimizer
from asap.align.order import Order, Turn
from asap.align.policy import MakeReference, Policy
from asap.align.precision import DTYPES, LossScale, Precision, autocast, settle
from asap.align.sharding import (
    exchanged,
    forget_joined,
    gathered,
    local,
    shard,
    spread_like,
    spread_state,
    unshardable,
    whole,
    whole_state,
)
from asap.align.step import NoisePath
from asap.align.times import Law, TimeLaw, TimeSampler
from asap.align.zero import Zero, unzeroable
from asap.core.errors import ConfigError, TrainingError

__all__ = ["Metrics", "Path", "ReferenceBank", "TrainSettings", "Trainer", "TrainingTask"]

Metrics = dict[str, float | None]
"""Log columns of one step; None where a value is undefined."""


class TrainingTask(Protocol):
    """What a training loop needs from the thing it trains: a gradient for each step, and state for a checkpoint.

    The loop owns everything else: step counter, learning-rate schedule, clipping, the optimizer's step, float16 loss
    scale, moving average of the weights, checkpoints, resume, logging and early stop. One step of a loop is

        metrics = task.backward(step, scale)
        norm = task.clip(max_grad_norm)
        task.optimizer.step(); task.optimizer.zero_grad(set_to_none=True)
    """

    @property
    def model(self) -> nn.Module:
        """The module that holds ``weights``."""

    @property
    def weights(self) -> Mapping[str, nn.Parameter]:
        """Trained parameters by name, in a stable order. They may be DTensors (FSDP2), see ``align.sharding``."""

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """Moves ``weights``. The loop sets ``lr`` of its groups before each step."""

    def backward(self, step: int, scale: float = 1.0) -> Metrics:
        """Add the gradient of ``scale`` times the loss of ``step`` to the weights, averaged over all processes.

        It depends on the weights and on ``step`` alone (randomness is named by seed and step), so that a resumed run
        equals an uninterrupted one.

        Args:
            step: 0-based optimizer step.
            scale: float16 loss scale, 1 otherwise; the loop divides the gradient by it.

        Returns:
            Columns to log, ``loss`` among them, averaged over the step's whole batch.
        """

    def clip(self, max_norm: float) -> float:
        """Scale the gradient down to ``max_norm`` (0: never) and return its norm before. Collective."""

    def state(self) -> dict[str, Any]:
        """Weights and optimizer state as whole CPU tensors. Collective: all processes call it."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what ``state`` returned; raises ``TrainingError`` if it belongs to other weights."""


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
    kept_draws: int = 0
    """Fixed draws a pair, which its visits go through in turn, so that a reference bank knows them when they come
    again; 0: every visit draws anew."""
    times: Law = "path"
    """Law of the noise levels, see ``align.times``."""
    time_mean: float = 0.0
    time_spread: float = 1.0
    time_shift: float = 1.0
    stratified: bool = False
    """Spread the noise levels of a step (of a pair's fixed draws) evenly over the law."""
    time_range: tuple[float, float] = (0.0, 1.0)
    seed: int = 0
    precision: Precision = "auto"
    """Of the forwards; trained weights, errors and losses stay float32. ``auto`` is bf16 where the device is faster in
    it. fp16 scales its loss."""
    adapter: Literal["lora", "dora"] = "lora"
    """Kind of adapter where not all weights are trained; those that diffusers loads, see ``align.adapters``."""
    optimizer: OptimizerName = "adamw"
    gradient: GradientMode = "one_pass"
    """``two_pass``: the same gradient with the activations of one image, see ``align.gradients``."""
    batched: bool = True
    """Winners and losers in one forward; False: one after the other (one pass)."""
    skip: bool = False
    """Pairs run one by one, and those whose gradient is exactly zero (a hinge past its margin) have no backward."""
    checkpointing: bool = False
    """Keep no activations inside blocks and compute them again in the backward."""
    compile: bool = False
    """Let torch.compile fuse the denoiser. Not to be trusted: on the CPU a small UNet's gradient is off by a tenth."""
    ema: float = 0.0
    """Decay of an average of the trained weights, which is then what is saved; 0 means none."""
    reuse_reference: bool = False
    """Keep the reference's errors beside the latents, for further runs that meet the same pairs at the same draws."""
    stop_on_rise: float | None = None
    """End early once the winner's error, smoothed over 20 steps, is this share above the reference's; None: never."""

    @property
    def law(self) -> TimeLaw:
        """The law of the noise levels."""
        return TimeLaw(
            law=self.times,
            mean=self.time_mean,
            spread=self.time_spread,
            shift=self.time_shift,
            stratified=self.stratified,
            range=self.time_range,
        )

    def faults(self) -> list[str]:
        """What is out of range, in words."""
        checks = {
            f"steps must be >= 1, got {self.steps}": self.steps >= 1,
            f"batch_size must be >= 1, got {self.batch_size}": self.batch_size >= 1,
            f"grad_accum must be >= 1, got {self.grad_accum}": self.grad_accum >= 1,
            f"lr must be > 0, got {self.lr}": self.lr > 0,
            f"warmup must be >= 0, got {self.warmup}": self.warmup >= 0,
            f"weight_decay must be >= 0, got {self.weight_decay}": self.weight_decay >= 0,
            f"max_grad_norm must be >= 0, got {self.max_grad_norm}": self.max_grad_norm >= 0,
            f"draws must be >= 1, got {self.draws}": self.draws >= 1,
            f"kept_draws must be 0 or at least draws ({self.draws}), got {self.kept_draws}": (
                self.kept_draws == 0 or self.kept_draws >= self.draws
            ),
            f"precision must be {', '.join(DTYPES)} or auto, got {self.precision!r}": self.precision
            in (*DTYPES, "auto"),
            f"adapter must be lora or dora, got {self.adapter!r}": self.adapter in ("lora", "dora"),
            f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}": self.optimizer in OPTIMIZERS,
            f"gradient must be one_pass or two_pass, got {self.gradient!r}": self.gradient in ("one_pass", "two_pass"),
            f"stop_on_rise must be > 0, got {self.stop_on_rise}": self.stop_on_rise is None or self.stop_on_rise > 0,
            f"ema must be in [0, 1), got {self.ema}": 0 <= self.ema < 1,
        }
        return [*(text for text, good in checks.items() if not good), *self.law.faults()]


class ReferenceBank(Protocol):
    """Remembers the reference's residual sums, which depend on pair, draw and model alone."""

    def get(self, pairs: Sequence[int], numbers: Sequence[tuple[int, ...]]) -> Tensor:
        """(B, D, 2, 3): packed residuals of winner and loser at each pair's numbered draws, NaN where unknown."""

    def put(self, pairs: Sequence[int], numbers: Sequence[tuple[int, ...]], values: Tensor) -> None:
        """Keep them, (B, D, 2, 3)."""


class Trainer:
    """Moves a policy's trainable weights by one method."""

    def __init__(
        self,
        policy: Policy,
        reference: MakeReference,
        path: Path,
        source: PairSource,
        *,
        method: Method,
        loss: LossSettings,
        settings: TrainSettings,
        groups: Sequence[Sequence[int]] | None = None,
        bank: ReferenceBank | None = None,
        device: str | None = None,
    ) -> None:
        """Prepare optimizer and device.

        Args:
            policy: its trainable parameters are moved.
            reference: makes the gradient-free denoiser that the policy is held against.
            path: the backbone's noise path.
            source: the pairs; at least one.
            method: shape of the loss.
            loss: its settings.
            settings: how to step.
            groups: indices of pairs of one shape each, which a step takes its pairs from; None: all have one shape.
            bank: spares the reference's forward for draws it knows.
            device: "cpu" keeps everything there; None lets accelerate choose.

        Raises:
            ConfigError: settings out of range or not for weights that are spread over processes, or no pairs.
        """
        faults = [*settings.faults(), *loss.faults()]
        if not len(source):
            faults.append("training needs at least one pair, got none")
        if faults:
            raise ConfigError.collect(faults)
        # Mixed precision is ours (see Rows.look), so accelerate must not wrap the forward in its own.
        self.accelerator: Any = Accelerator(mixed_precision="no", cpu=device == "cpu")
        self.settings, self.method, self.loss = settings, method, loss
        self.path, self.source, self.bank, self.policy = path, source, bank, policy
        self.precision = settle(settings.precision, self.accelerator.device)
        self.scale = LossScale.of(self.precision)
        self.sharded: bool = bool(self.accelerator.is_fsdp2)
        self.zero: Zero | None = None
        if faults := self._unmet():
            raise ConfigError.collect(faults)
        _prepare(policy, settings)
        optimizer = build_optimizer(
            settings.optimizer, list(policy.trainable().values()), lr=settings.lr, weight_decay=settings.weight_decay
        )
        self._place(optimizer)
        self.weights = policy.trainable()
        self.reference = reference(policy)
        self.gradients = self._gradients()
        self.order = Order(settings.seed, self.global_batch, groups or [range(len(source))])
        self.average = [value.detach().clone() for value in self.weights.values()] if settings.ema else []
        self.done = 0

    def _unmet(self) -> list[str]:
        """What does not go with the launcher's way of sharing, in words."""
        asked = {**vars(self.settings), "precision": self.precision}
        if self.sharded:
            return unshardable(self.policy.denoiser, asked)
        return unzeroable(self.policy.denoiser, asked) if self._zeroed else []

    def _place(self, optimizer: torch.optim.Optimizer) -> None:
        """Bring model and optimizer to where they are trained: whole, or spread over processes."""
        policy = self.policy
        if self.sharded:
            self.model, self.optimizer = policy, shard(self.accelerator, policy.denoiser, optimizer)
        elif self._zeroed:
            self.zero = Zero(self.accelerator, policy, optimizer, self.settings)
            self.model, self.optimizer = policy, self.zero.adam
        else:
            placed = [not is_offloaded(policy), True]  # weights that come and go by layer cannot be moved as a whole
            self.model, self.optimizer = self.accelerator.prepare(policy, optimizer, device_placement=placed)

    @property
    def by_hand(self) -> bool:
        """Whether gradients are joined over processes here, because they do not come from one backward a step."""
        return self.settings.gradient == "two_pass" or self.settings.skip

    @property
    def _zeroed(self) -> bool:
        """Whether the launcher asks for DeepSpeed."""
        return str(self.accelerator.distributed_type.value) == "DEEPSPEED"

    @property
    def _synced(self) -> torch.nn.Module:
        """The module that joins gradients over processes in its backward."""
        module: torch.nn.Module = self.policy.denoiser if self.sharded else self.model
        return module

    def _gradients(self) -> Gradients:
        settings = self.settings
        return Gradients(
            policy=self.policy if self.by_hand else self.model,
            reference=self.reference,
            path=self.path,
            method=self.method,
            loss=self.loss,
            weights=list(self.weights.values()),
            cast=lambda: autocast(self.precision, self.accelerator.device),
            backward=torch.Tensor.backward if self.by_hand else self._backwards,
            mode=settings.gradient,
            batched=settings.batched,
            exact=self.precision == "fp32" and all(value.dtype == torch.float32 for value in self.policy.parameters()),
            skip=settings.skip,
        )

    @property
    def _backwards(self) -> Callable[[Tensor], None]:
        return self.zero.backward if self.zero else self.accelerator.backward

    def _joining(self, *, last: bool) -> AbstractContextManager[None]:
        """Around a micro-batch: processes join their gradients in the backward of a step's last one alone."""
        if self.zero:
            self.zero.last(last)
        if last or self.by_hand or self.zero:
            return nullcontext()
        found: AbstractContextManager[None] = self.accelerator.no_sync(self._synced)
        return found

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
        start = time.perf_counter()
        self._set_learning_rate()
        row = self.backward(self.done, self.scale.value)
        if self.scale.active:
            held = [value.grad for value in self.weights.values() if value.grad is not None]
            torch._foreach_mul_(held, 1 / self.scale.value)
        norm = self.clip(self.settings.max_grad_norm)
        moved = self._move(row["loss"], norm)
        self.done += 1
        row |= {"grad_norm": norm if moved else None}
        row |= {"loss_scale": self.scale.value} if self.scale.active else {}
        return {"step": self.done - 1, **row, "seconds": time.perf_counter() - start}

    def backward(self, step: int, scale: float = 1.0) -> Metrics:
        """See ``TrainingTask``."""
        turn = self.order.turn(step)
        looks = []
        for micro in range(self.settings.grad_accum):
            with self._joining(last=micro == self.settings.grad_accum - 1):
                looks.append(self._backward(self._slots(step, micro, turn), scale))
        self._join()
        row = summarise([self.accelerator.gather(self._logged(look)) for look in looks])
        row["skipped"] = float(sum(look.skipped for look in looks))
        row |= {"seen": looks[0].found.seen} if looks[0].found.seen < 1 else {}
        return row

    def _slots(self, step: int, micro: int, turn: Turn) -> Slots:
        """The slots of this process's ``micro``-th micro-batch."""
        size = self.settings.batch_size
        first = (micro * self.accelerator.num_processes + self.accelerator.process_index) * size
        places = tuple(range(first, first + size))
        return Slots(
            step=step,
            places=places,
            pairs=tuple(turn.pairs[place] for place in places),
            batch=self.global_batch,
            total=turn.total,
            start=turn.start,
        )

    def _backward(self, slots: Slots, scale: float = 1.0) -> Look:
        """Add one micro-batch's gradient; returns what was seen."""
        settings = self.settings
        batch = self.source.batch(slots.pairs)
        draws = draw(
            self.path,
            batch.picture,
            slots,
            seed=settings.seed,
            draws=settings.draws,
            law=settings.law,
            kept=settings.kept_draws,
        )
        batch, draws = to_device(batch, cut(draws, batch), self.accelerator.device)
        numbers = slots.numbers(settings.draws, settings.kept_draws)
        known = (
            self.bank.get(slots.pairs, numbers).permute(2, 0, 1, 3).reshape(-1, 3) if self.bank is not None else None
        )
        share = scale / (len(slots.pairs) * settings.grad_accum)
        look = self.gradients.take(batch, draws, known, share)
        if self.bank is not None and known is not None and known.isnan().any():
            packed = look.found.reference.packed().reshape(2, len(slots.pairs), settings.draws, 3)
            self.bank.put(slots.pairs, numbers, packed.permute(1, 2, 0, 3).cpu())
        return look

    def _logged(self, look: Look) -> Tensor:
        return per_pair(look.found, look.losses, look.terms, alpha=self.loss.alpha, tau=self.loss.tau)

    def _join(self) -> None:
        """Mean of the gradients over processes where no wrapper has taken it."""
        if self.by_hand and self.accelerator.num_processes > 1:
            for value in self.weights.values():
                value.grad = torch.zeros_like(value) if value.grad is None else value.grad
                value.grad = self.accelerator.reduce(value.grad, "mean")

    def _move(self, loss: float | None, norm: float) -> bool:
        """Take the optimizer's step; False if float16 overflowed and the step is left out."""
        finite = math.isfinite(norm)
        if not (self.scale.active and not finite and self.scale.value > 1):
            self._refuse_nonsense(loss, norm)
            (self.zero.move if self.zero else self.optimizer.step)()
            if self.average:
                now = [local(value.data) for value in self.weights.values()]
                torch._foreach_lerp_([local(value) for value in self.average], now, 1 - self.settings.ema)
        self.optimizer.zero_grad(set_to_none=True)
        self.scale.update(finite=finite)
        return finite

    def _set_learning_rate(self) -> None:
        """A pure function of the step, so that nothing of it need be saved."""
        warmup = self.settings.warmup
        factor = min(1.0, (self.done + 1) / warmup) if warmup else 1.0
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * factor

    def clip(self, max_norm: float) -> float:
        """See ``TrainingTask``."""
        if self.zero:  # whose step clips
            return self.zero.norm()
        limit = max_norm or math.inf
        return float(whole(self.accelerator.clip_grad_norm_(list(self.weights.values()), limit)))

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
        means = dict(zip(self.weights, self.average, strict=True))
        with exchanged(self.policy, self.weights, means):
            yield

    @contextmanager
    def saving(self) -> Iterator[None]:
        """``averaged``, and the main process can save the denoiser even where its weights are spread.

        All processes enter; no forward may run inside.
        """
        with self.averaged():
            if not self.sharded:
                yield
                return
            names = [name.removeprefix("denoiser.") for name in self.weights]
            with gathered(self.policy.denoiser, names, keep=self.accelerator.is_main_process):
                yield

    def state(self) -> dict[str, Any]:
        """All that a later ``restore`` needs, as tensors and plain values; where weights are spread, of any number.

        All processes call it; what the others than the main one get is of no use then.
        """
        keep = not self.sharded or self.accelerator.is_main_process
        return {
            "step": self.done,
            "weights": {name: whole(value.detach()).cpu() for name, value in self.weights.items()},
            "average": [whole(value).cpu() for value in self.average],
            "optimizer": self.zero.state() if self.zero else whole_state(self.optimizer.state_dict(), keep=keep),
            "scale": asdict(self.scale),
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
                value.copy_(spread_like(value, saved[name]))
            for mean, kept in zip(self.average, state["average"], strict=True):
                mean.copy_(spread_like(mean, kept))
        forget_joined(self.policy)
        if self.zero:
            self.zero.restore([saved[name] for name in self.weights], state["optimizer"])
        else:
            self.optimizer.load_state_dict(spread_state(state["optimizer"], list(self.weights.values())))
        self.scale = LossScale(**state["scale"])
        self.done = int(state["step"])


def _prepare(policy: Policy, settings: TrainSettings) -> None:
    """Set the switches that sit in the denoiser itself; raises ``ConfigError`` for one that it does not have."""
    denoiser: Any = policy.denoiser
    if settings.checkpointing:
        try:
            denoiser.enable_gradient_checkpointing()
        except (AttributeError, ValueError) as error:
            name = type(denoiser).__name__
            raise ConfigError(f"{name} has no gradient checkpointing; leave checkpointing off") from error
    if settings.compile:
        denoiser.compile()
