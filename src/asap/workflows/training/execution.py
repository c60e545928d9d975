"""A settled training run: its plan, its loop with log, checkpoints and snapshots, and what it leaves behind."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TypedDict

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from asap.align.adapters import AdapterSettings, adapt, make_full
from asap.align.methods import LossSettings, Method, describe
from asap.align.monitors import ChosenDegradationMonitor, PredictionNormMonitor
from asap.align.offload import offload_frozen
from asap.align.policy import Policy, adapter_reference, frozen_reference
from asap.align.precision import LossScale
from asap.align.sampler import PairSampler
from asap.align.settings import TrainSettings
from asap.align.trainer import Trainer
from asap.backbones import Backbone
from asap.core.errors import ConfigError, InputError
from asap.core.manifest import Manifest, Parent
from asap.stores.checkpoints import CheckpointStore
from asap.stores.pairs import PairStore
from asap.stores.references import ReferenceStore
from asap.stores.trainlog import TrainLog
from asap.workflows.runtime.distributed import World
from asap.workflows.runtime.lineage import instruments_of, model_parents
from asap.workflows.runtime.trained import save_trained, trained_hash
from asap.workflows.training.card import write_card
from asap.workflows.training.config import ValidationConfig
from asap.workflows.training.crops import Framer, View, groups_of
from asap.workflows.training.latents import LatentPairs
from asap.workflows.training.loop import Loop, LoopSettings, Schedule
from asap.workflows.training.summary import settings_told
from asap.workflows.training.trackers import TRACKING, Trackers
from asap.workflows.training.validation import HeldOut, Report, Validation

__all__ = ["Plan", "TrainResult", "build_policy", "execute", "forget"]

REDUCTION: Final = "mean over latent elements and draws inside delta, mean over pairs outside the loss"
ENCODING: Final = "deterministic: the mode of the autoencoder's posterior, float32"
CHECKPOINTS, LOG, MANIFEST = "checkpoints", "log.jsonl", "manifest.json"
BEST, VALIDATION = "best", "validation"
TAIL: Final = 20
"""Last steps that a result averages over."""


class TrainResult(TypedDict):
    """What a run came to; the means are over its last 20 steps."""

    method: str
    steps: int
    weights: str
    """Folder of the adapter or of the full weights."""
    loss: float | None
    delta: float | None
    accuracy: float | None
    winner_rise: float | None
    """E_theta^w - E_ref^w; below 0 when the winner gained."""
    seconds: float
    """Time in the loop over all sittings, without loading and encoding."""
    stopped: str
    """Empty, or why the run ended before its last step."""
    warnings: int
    best_step: int | None
    """Steps after which the held-out loss was lowest; these weights lie in ``best``. 0: it never fell below that of the
    start; None: there were no held-out pairs."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that is settled before anything is written."""

    out: Path
    model: str
    fingerprint: str
    backbone: Backbone
    pairs: PairStore
    positions: tuple[int, ...]
    """Rows of ``pairs`` to learn from."""
    framer: Framer
    views: tuple[View, ...]
    """What is seen of each; none: whole squares."""
    method: Method
    loss: LossSettings
    settings: TrainSettings
    rank: int | None
    """Of the adapter; None trains all weights."""
    kinds: tuple[str, ...]
    snapshots: frozenset[int]
    world: World
    fsdp: bool = False
    """Whether the launcher asks for the weights to be sharded (FSDP2)."""
    watch: ValidationConfig
    trackers: tuple[str, ...] = ()
    away: torch.device | None = None
    """Where frozen weights of the denoiser come to layer by layer; None: they lie there."""

    @property
    def global_batch(self) -> int:
        """Pairs a step over all micro-batches and processes."""
        return self.settings.batch_size * self.settings.grad_accum * self.world.size

    def order(self) -> PairSampler:
        """Which pairs each step takes, by their places in ``positions``."""
        groups = groups_of(self.views) if self.views else [list(range(len(self.positions)))]
        return PairSampler(self.settings.seed, self.global_batch, groups)

    def config(self) -> dict[str, object]:
        """Every number that decides the result, as plain values."""
        lora = {"rank": self.rank, "alpha": self.rank, "targets": list(self.backbone.lora_targets)}
        return {
            "model": self.fingerprint,
            "pairs": self.pairs.content_hash,
            "kinds": list(self.kinds),
            "method": self.method.name,
            "shape": self.method.shape,
            "reduction": REDUCTION,
            "encoding": ENCODING,
            "framing": asdict(self.framer.framing),
            "predicts": getattr(self.backbone.path, "prediction", self.backbone.path.name),
            "objective": describe(self.method, self.loss),
            "loss": self.loss.config(),
            "training": self.settings.config(),
            "processes": self.world.size,
            "weights": "full" if self.rank is None else "lora",
            "lora": None if self.rank is None else lora,
        }

    def claimed(self) -> dict[str, object]:
        """The settings that a rerun must share, flat, so that a difference is named well.

        That is all but ``steps`` and how a step's batch is split: a run may go on in another number of processes as
        long as the pairs of a step stay the same.
        """
        flat: dict[str, object] = {}
        for key, value in self.config().items():
            flat |= {f"{key}.{name}": item for name, item in value.items()} if isinstance(value, dict) else {key: value}
        for name in ("training.steps", "training.batch_size", "training.grad_accum", "processes"):
            del flat[name]
        return {**flat, "training.global_batch": self.global_batch}

    def facts(self, held_out: Mapping[str, float] | None) -> dict[str, object]:
        """What a model card says besides the settings."""
        chosen = self.pairs.columns("part", "operation")
        return {
            "model": self.model,
            "pairs": self.pairs.root.name,
            "summary": self.method.summary,
            "parts": [chosen["part"][position] for position in self.positions],
            "operations": [chosen["operation"][position] for position in self.positions],
            "held_out": held_out,
        }

    def manifest(self, folder: Path, notes: Mapping[str, object]) -> Manifest:
        """Lineage of the weights in ``folder``; whatever judged the pairs, or those of the model, is an instrument."""
        upstream = [manifest for _, manifests in model_parents(self.model) for manifest in manifests]
        return Manifest(
            kind="trained",
            config=self.config(),
            parents=(
                Parent("pairs", str(self.pairs.root), self.pairs.content_hash),
                Parent("model", self.model, self.fingerprint),
            ),
            instruments=instruments_of([self.pairs.manifest, *upstream]),
            notes={"weights": folder.name, "content_hash": trained_hash(folder), **notes},
        )


@dataclass
class _Looks:
    """What validations have shown so far; plain values, so that a checkpoint holds them."""

    base: dict[str, float] | None = None
    """Numbers of the first one."""
    best_step: int | None = None
    best_loss: float | None = None
    last: dict[str, float] | None = None
    """Numbers of the last one."""
    texture: float = 1.0
    """Of the last one, see ``Report.texture``."""

    def better(self, report: Report) -> bool:
        """Take a report; True if its held-out loss is the lowest so far."""
        if self.base is None:
            self.base = report.numbers
        self.last, self.texture = report.numbers, report.texture(self.base)
        loss = report.numbers.get("loss")
        if loss is None or (self.best_loss is not None and loss >= self.best_loss):
            return False
        self.best_step, self.best_loss = report.step, loss
        return True


@dataclass
class _Sitting:
    """What goes along with the trainer through the loop."""

    plan: Plan
    trainer: Trainer
    loop: Loop
    checkpoints: CheckpointStore
    log: TrainLog | None
    """In the main process alone."""
    watch: ChosenDegradationMonitor
    references: ReferenceStore | None
    validation: Validation
    trackers: Trackers
    drift: PredictionNormMonitor
    looks: _Looks
    seconds: float = 0.0
    stopped: str = ""


def forget(out: Path) -> None:
    """Remove what an earlier run left in ``out``, to start it over."""
    (out / MANIFEST).unlink(missing_ok=True)
    (out / TRACKING).unlink(missing_ok=True)
    for name in (CHECKPOINTS, "snapshots", "adapter", "denoiser", BEST, VALIDATION, "tensorboard", "wandb"):
        shutil.rmtree(out / name, ignore_errors=True)
    (out / LOG).unlink(missing_ok=True)


def execute(plan: Plan, source: LatentPairs, held: HeldOut | None = None, prompts: tuple[str, ...] = ()) -> TrainResult:
    """Train from the newest checkpoint (or from scratch) to the end and write the result.

    Args:
        plan: what is settled.
        source: the pairs to learn from, encoded.
        held: pairs to look at; see ``ValidationConfig``.
        prompts: what validation images are drawn of.

    Raises:
        InputError: the run has gone further than asked already, or its folder cannot be written.
        StoreError: the checkpoint is damaged.
        TrainingError: the loss is not a number.
    """
    sitting = _begin(plan, source, held, prompts)
    with _progress(plan.world) as progress:
        progress.console.print("\n".join(settings_told(plan.config())), highlight=False, markup=False, soft_wrap=True)
        done = sitting.loop.done
        task = progress.add_task(plan.method.name, total=plan.settings.steps, completed=done, terms="")
        if plan.watch.validate_every and sitting.looks.base is None:
            _validate(sitting)
        last = time.perf_counter()
        for row in sitting.loop.steps():
            row["seconds"] = time.perf_counter() - last
            if sitting.log:
                sitting.log.add(sitting.loop.done, row)
            sitting.trackers.log(sitting.loop.done, row, group="train")
            sitting.drift.update(row)
            if sitting.watch.update(row):
                progress.console.print(f"warning: {_warn(sitting)}")
            if plan.watch.validate_every and sitting.loop.done % plan.watch.validate_every == 0:
                _validate(sitting)
            sitting.stopped = _why_stop(sitting)
            now = time.perf_counter()
            sitting.seconds, last = sitting.seconds + now - last, now
            _keep(sitting)
            progress.update(task, advance=1, terms=_terms(row))
            if sitting.stopped:
                break
    sitting.trackers.close()
    return _finish(sitting)


def _begin(plan: Plan, source: LatentPairs, held: HeldOut | None, prompts: tuple[str, ...]) -> _Sitting:
    references = _references(plan, source)
    trainer = _trainer(plan, source, references)
    loop = _loop(plan, trainer)
    checkpoints, watch, seconds = CheckpointStore(plan.out / CHECKPOINTS), ChosenDegradationMonitor(), 0.0
    drift, looks = PredictionNormMonitor(), _Looks()
    if (saved := checkpoints.latest()) is not None:
        loop.restore(saved["trainer"])
        watch, seconds = ChosenDegradationMonitor(**saved["watch"]), float(saved["seconds"])
        drift, looks = PredictionNormMonitor(**saved.get("drift", {})), _Looks(**saved.get("looks", {}))
    if loop.done > plan.settings.steps:
        raise InputError(
            f"{plan.out} has gone {loop.done} steps already, more than the {plan.settings.steps} asked; "
            "ask for more, or start over with resume off"
        )
    return _Sitting(
        plan,
        trainer,
        loop,
        checkpoints,
        plan.world.on_main(lambda: TrainLog(plan.out / LOG, done=loop.done)),
        watch,
        references,
        Validation(trainer, loop, plan.backbone, plan.world, plan.watch, held, prompts),
        Trackers(trainer.accelerator, plan.trackers, plan.out, plan.claimed(), first_step=loop.done + 1),
        drift,
        looks,
        seconds,
    )


def _loop(plan: Plan, trainer: Trainer) -> Loop:
    settings = plan.settings
    how = LoopSettings(
        name=plan.method.name,
        steps=settings.steps,
        schedule=Schedule(lr=settings.lr, warmup=settings.warmup),
        max_grad_norm=settings.max_grad_norm,
        ema=settings.ema,
    )
    return Loop(trainer, how, scale=LossScale.of(trainer.precision), world=plan.world)


def _trainer(plan: Plan, source: LatentPairs, references: ReferenceStore | None) -> Trainer:
    if plan.fsdp and plan.framer.framing.window < 1:
        raise ConfigError(
            "window does not work with weights sharded by FSDP2: it lets processes run unequal numbers of forwards"
        )
    policy = build_policy(plan)
    if plan.away is not None:
        offload_frozen(policy.denoiser, plan.away)
    trained = next(iter(policy.trainable().values())).device
    trainer = Trainer(
        policy,
        frozen_reference if plan.rank is None else adapter_reference,
        plan.backbone.path,
        source,
        method=plan.method,
        loss=plan.loss,
        settings=plan.settings,
        groups=source.groups(),
        bank=references,
        device=(plan.world.device if plan.fsdp else trained).type,
    )
    if plan.fsdp and not trainer.parallel.shards:
        raise InputError(
            "FSDP2 shards weights over GPUs, and accelerate found none here; launch with configs/accelerate/ddp.yaml"
        )
    return trainer


def _validate(sitting: _Sitting) -> None:
    """Look at held-out pairs and images; keep the weights if they are the best so far."""
    plan, done = sitting.plan, sitting.loop.done
    report, pictures = sitting.validation.look(plan.out / VALIDATION / f"step-{done:06d}")
    better = sitting.looks.better(report)
    if sitting.log:
        sitting.log.validate(done, report.row())
    sitting.trackers.log(done, report.flat(), group="held_out")
    if pictures is not None:
        sitting.trackers.show(done, "validation", pictures)
    if better and done:
        _snapshot(sitting, plan.out / BEST, report.numbers)


def _references(plan: Plan, source: LatentPairs) -> ReferenceStore | None:
    """The reference's errors known from earlier runs, if the plan wants them kept."""
    if not plan.settings.reuse_reference:
        return None
    settings = plan.settings
    key: dict[str, object] = {
        "weights": plan.rank is None,
        "positions": plan.positions,
        "seed": settings.seed,
        "precision": settings.precision,
        "law": settings.timesteps.config(),
        "framing": asdict(plan.framer.framing),
        "kept_draws": settings.fixed_noise_samples,
    }
    if settings.fixed_noise_samples == 0:  # then a noise sample is named by its place in the step
        key |= {"batch": plan.global_batch, "draws": settings.noise_samples}
    return ReferenceStore(source.store.root, key)


def build_policy(plan: Plan) -> Policy:
    """Free the weights that the plan trains; changes the backbone."""
    if plan.fsdp:  # so that no device ever holds all of them in float32
        plan.backbone.denoiser.to("cpu")
    if plan.rank is None:
        return make_full(plan.backbone)
    settings = AdapterSettings(kind=plan.settings.adapter, rank=plan.rank)
    return adapt(plan.backbone, settings, seed=plan.settings.seed)


def _keep(sitting: _Sitting) -> None:
    """Write what is due after this step; the main process does, and if it cannot, all end."""
    plan, done = sitting.plan, sitting.loop.done
    if done in plan.snapshots:
        _snapshot(sitting, plan.out / "snapshots" / f"step-{done:06d}")
    if done % plan.watch.checkpoint_every == 0 or done == plan.settings.steps or sitting.stopped:
        state = {
            "trainer": sitting.loop.state(),
            "watch": asdict(sitting.watch),
            "drift": asdict(sitting.drift),
            "looks": asdict(sitting.looks),
            "seconds": sitting.seconds,
        }
        plan.world.on_main(lambda: sitting.checkpoints.save(done, state))
        if sitting.references and plan.world.is_main:
            sitting.references.save()


def _snapshot(sitting: _Sitting, folder: Path, numbers: Mapping[str, float] | None = None) -> None:
    """Keep the weights of this step beside the run's own; all processes take part, the main one writes."""
    plan = sitting.plan
    notes = {"steps": sitting.loop.done, **({"held_out": dict(numbers)} if numbers else {})}

    def write() -> None:
        weights = save_trained(plan.backbone, folder, full=plan.rank is None)
        plan.manifest(weights, notes).write(folder / MANIFEST)

    with sitting.loop.averaged(), sitting.trainer.saving():
        plan.world.on_main(write)


def _finish(sitting: _Sitting) -> TrainResult:
    """Write the result; every process gets the same account of it."""
    world = sitting.plan.world
    with sitting.loop.averaged(), sitting.trainer.saving():
        result = world.broadcast(world.on_main(lambda: _write_result(sitting)))
    assert result is not None
    return result


def _write_result(sitting: _Sitting) -> TrainResult:
    plan, log = sitting.plan, sitting.log
    assert log is not None
    weights = save_trained(plan.backbone, plan.out, full=plan.rank is None)
    result = TrainResult(
        method=plan.method.name,
        steps=sitting.loop.done,
        weights=str(weights),
        loss=log.tail("loss", TAIL),
        delta=log.tail("delta", TAIL),
        accuracy=log.tail("accuracy", TAIL),
        winner_rise=log.tail("winner_rise", TAIL),
        seconds=sitting.seconds,
        stopped=sitting.stopped,
        warnings=log.warnings,
        best_step=sitting.looks.best_step,
    )
    notes = {key: value for key, value in result.items() if key not in ("method", "weights")}
    write_card(weights, plan.config(), plan.facts(sitting.looks.last), result)
    plan.manifest(weights, notes).write(plan.out / MANIFEST)
    return result


def _why_stop(sitting: _Sitting) -> str:
    """The first guard that is broken, in words; empty when all hold."""
    flee, drift, watch = sitting.watch, sitting.drift, sitting.plan.watch
    bound = sitting.plan.settings.stop_on_rise
    if flee.exceeds(bound):
        return f"the chosen side's error is {flee.rise:.1%} above the reference's, more than the {bound:.1%} allowed"
    if drift.exceeds(watch.stop_on_drift):
        return f"|v_theta| / |v_ref| is {drift.drift:.1%} away from 1, more than the {watch.stop_on_drift:.1%} allowed"
    if watch.stop_on_texture is not None and sitting.looks.texture > watch.stop_on_texture:
        return (
            f"fine detail or cell grid of the validation images is {sitting.looks.texture:.2f} times that before the "
            f"first step, more than the {watch.stop_on_texture:.2f} allowed"
        )
    return ""


def _warn(sitting: _Sitting) -> str:
    """Log that the chosen side degrades; returns the message."""
    watch, step = sitting.watch, sitting.loop.done
    text = (
        f"step {step}: delta grows ({watch.delta:.4f}) while the chosen side's error is {watch.rise:.1%} above the "
        "reference's; fewer steps, a lower lr or an anchor may help"
    )
    if sitting.log:
        sitting.log.warn(step, text)
    return text


def _progress(world: World) -> Progress:
    """A bar on standard error, so that standard output stays the command's answer; the main process's alone."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[terms]}"),
        console=Console(stderr=True, quiet=not world.is_main),
    )


def _terms(row: Mapping[str, float | None]) -> str:
    return f"loss {row['loss']:.4f} delta {row['delta']:+.4f} winner {row['winner_rise']:+.4f}"
