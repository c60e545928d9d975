"""Alignment as a training task: the gradient of each step, from pairs to the trained weights.

It opens no file and knows no model family. All randomness of a step is named by (seed, step, slot, sample), so a run
that goes on from ``state()`` equals one that never stopped.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from asap.align.batch import PairSource, Slots, crop_noise, sample_noise, to_device
from asap.align.errors import NoisePath
from asap.align.methods import LossSettings, Method
from asap.align.metrics import per_pair, summarize
from asap.align.optimizers import build_optimizer
from asap.align.policy import MakeReference, Policy
from asap.align.precision import autocast, resolve_precision
from asap.align.sampler import PairSampler
from asap.align.settings import TrainSettings
from asap.align.step import Objective, StepResult, fresh_reference
from asap.align.strategies import gradient_strategy, parallel_strategy
from asap.align.strategies.cached_reference import ReferenceBank, cached_reference
from asap.align.timestep_sampling import TimestepSampler
from asap.core.errors import ConfigError, TrainingError
from asap.tensors.sharded import reshard, shard_like, shard_state, whole, whole_state

__all__ = ["Metrics", "Path", "Trainer", "TrainingTask"]

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
        """Trained parameters by name, in a stable order. They may be sharded, see ``tensors.sharded``."""

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
        """Scale the gradient down to ``max_norm`` (0: never); returns its norm before. Collective."""

    def state(self) -> dict[str, Any]:
        """Weights and optimizer state as whole CPU tensors. Collective: all processes call it."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what ``state`` returned; raises ``TrainingError`` if it belongs to other weights."""


class Path(NoisePath, TimestepSampler, Protocol):
    """A noise path as the trainer needs it."""


class Trainer:
    """Alignment of a policy by one method; a ``TrainingTask``."""

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
        """Prepare model, reference and optimizer.

        Args:
            policy: its trainable parameters are trained.
            reference: makes the frozen denoiser that the policy is compared with.
            path: the backbone's noise path.
            source: the pairs; at least one.
            method: the objective.
            loss: its settings.
            settings: how to step.
            groups: indices of the pairs of each shape; a step takes its pairs from one group. None: one group.
            bank: cache of the reference's errors; None: they are always computed.
            device: "cpu" uses the CPU; None uses a GPU if there is one.

        Raises:
            ConfigError: settings out of range or not possible with the launcher's parallelism, or no pairs.
        """
        faults = [*settings.faults(), *loss.faults()]
        if not len(source):
            faults.append("training needs at least one pair, got none")
        if method.combine is not None and bank is not None:
            faults.append(f"reuse_reference does not work with {method.name}, which needs the reference's predictions")
        if faults:
            raise ConfigError.collect(faults)
        # Autocast is ours, one context per forward, so accelerate must not wrap the forward in its own.
        self.accelerator: Any = Accelerator(mixed_precision="no", cpu=device == "cpu")
        self.settings, self.path, self.source, self.policy = settings, path, source, policy
        self.parallel = parallel_strategy(self.accelerator)
        if faults := self.parallel.faults(policy, asdict(settings)):
            raise ConfigError.collect(faults)
        if settings.checkpointing:
            _enable_checkpointing(policy.denoiser)
        self.optimizer = self.parallel.place(
            policy,
            build_optimizer(
                settings.optimizer,
                list(policy.trainable().values()),
                lr=settings.lr,
                weight_decay=settings.weight_decay,
            ),
        )
        self.weights: Mapping[str, nn.Parameter] = policy.trainable()
        self.precision = resolve_precision(settings.precision, self.accelerator.device)
        errors = fresh_reference(reference(policy), self._autocast)
        self.objective = Objective(
            policy=policy,
            reference=errors if bank is None else cached_reference(errors, bank),
            path=path,
            method=method,
            settings=loss,
            autocast=self._autocast,
            weights=list(self.weights.values()),
        )
        self.accumulate = gradient_strategy(settings.gradient, skip=settings.skip_satisfied)
        self.sampler = PairSampler(settings.seed, self.global_batch, groups or [range(len(source))])

    @property
    def model(self) -> nn.Module:
        """See ``TrainingTask``."""
        return self.policy

    @property
    def global_batch(self) -> int:
        """Pairs per step over all micro-batches and processes."""
        return int(self.settings.batch_size * self.settings.grad_accum * self.accelerator.num_processes)

    def backward(self, step: int, scale: float = 1.0) -> Metrics:
        """See ``TrainingTask``."""
        results = [self._accumulate(slots, scale) for slots in self._slots(step)]
        self.parallel.reduce_gradients(self.policy)
        loss = self.objective.settings
        values = [per_pair(result, alpha=loss.alpha, target_margin=loss.target_margin) for result in results]
        row = summarize([self.accelerator.gather(value) for value in values])
        row["skipped"] = float(sum(result.skipped for result in results))
        if results[0].visible_share < 1:
            row["seen"] = results[0].visible_share
        return row

    def _slots(self, step: int) -> Iterator[Slots]:
        """The slots of each of this process's micro-batches."""
        size, taken = self.settings.batch_size, self.sampler.step_pairs(step)
        for micro in range(self.settings.grad_accum):
            first = (micro * self.accelerator.num_processes + self.accelerator.process_index) * size
            yield Slots(
                step=step,
                places=tuple(range(first, first + size)),
                pairs=taken.pairs[first : first + size],
                batch=self.global_batch,
                total=taken.total,
                start=taken.start,
            )

    def _accumulate(self, slots: Slots, scale: float) -> StepResult:
        """Add the gradient of one micro-batch to the weights."""
        settings = self.settings
        batch = self.source.batch(slots.pairs)
        noise = sample_noise(
            self.path,
            batch.image_shape,
            slots,
            seed=settings.seed,
            samples=settings.noise_samples,
            timesteps=settings.timesteps,
            fixed=settings.fixed_noise_samples,
        )
        batch, noise = to_device(batch, crop_noise(noise, batch), self.accelerator.device)
        return self.accumulate(self.objective, batch, noise, scale / (len(slots.pairs) * settings.grad_accum))

    def _autocast(self) -> AbstractContextManager[None]:
        return autocast(self.precision, self.accelerator.device)

    def clip(self, max_norm: float) -> float:
        """See ``TrainingTask``."""
        norm = nn.utils.clip_grad_norm_(list(self.weights.values()), max_norm or math.inf)
        return float(whole(norm))

    def saving(self) -> AbstractContextManager[None]:
        """Inside, the main process can save the denoiser. All processes enter; no forward may run inside."""
        return self.parallel.saving(self.policy)

    def state(self) -> dict[str, Any]:
        """See ``TrainingTask``. Only the main process gets the optimizer's state."""
        keep = self.accelerator.is_main_process
        return {
            "weights": {name: whole(value.detach()).cpu() for name, value in self.weights.items()},
            "optimizer": whole_state(self.optimizer.state_dict(), keep=keep),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """See ``TrainingTask``."""
        saved: dict[str, Tensor] = state["weights"]
        if {name: value.shape for name, value in saved.items()} != {
            name: value.shape for name, value in self.weights.items()
        }:
            raise TrainingError("the checkpoint trains other weights than this run; choose another output folder")
        with torch.no_grad():
            for name, value in self.weights.items():
                value.copy_(shard_like(value, saved[name]))
        reshard(self.policy)
        self.optimizer.load_state_dict(shard_state(state["optimizer"], list(self.weights.values())))


def _enable_checkpointing(denoiser: Any) -> None:  # noqa: ANN401  (diffusers has no types)
    try:
        denoiser.enable_gradient_checkpointing()
    except (AttributeError, ValueError) as error:
        name = type(denoiser).__name__
        raise ConfigError(f"{name} has no gradient checkpointing; leave checkpointing off") from error
