"""[pairs] -> [latents] -> align -> adapter or denoiser weights: one training run in one folder.

OUT/
  config.json       the settings it was begun with; a rerun must ask for the same (only ``steps`` may differ)
  log.jsonl         a line per step and per warning
  checkpoints/      the newest state, for resuming
  tracking.json     what trackio or wandb know the run by, where one of them was asked for
  snapshots/        step-000050/ with adapter (or denoiser) and manifest, for the steps asked for
  adapter/          LoRA in diffusers format; or denoiser/, the full weights
  manifest.json     written last: resolved settings, parents, instruments
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, TypedDict

import torch

from asap.align.methods import LossSettings, Method, resolve_method
from asap.align.precision import LossScale, resolve_precision
from asap.align.settings import TrainSettings
from asap.backbones import Backbone, load
from asap.backbones.fingerprint import model_fingerprint
from asap.core.errors import AsapError, InputError, StoreError
from asap.stores.cache import Cache
from asap.stores.checkpoints import CheckpointStore
from asap.stores.config import claim
from asap.stores.lock import WriterLock
from asap.stores.pairs import PairStore
from asap.stores.trainlog import TrainLog
from asap.workflows.runtime.distributed import World, fsdp_requested
from asap.workflows.runtime.trained import save_trained
from asap.workflows.training.card import settings_summary, write_card
from asap.workflows.training.config import TrainConfig, configure
from asap.workflows.training.crops import Cropper, CropSettings, crops_of
from asap.workflows.training.latents import EncodedPairs, LatentPairs, encode_pairs
from asap.workflows.training.loop import Loop, LoopSettings, Schedule
from asap.workflows.training.monitor import BEST, SNAPSHOTS, VALIDATION, AlignmentMonitor, StopRules, ValidationHistory
from asap.workflows.training.plan import Plan, build_trainer, reference_cache
from asap.workflows.training.trackers import TRACKING, Trackers, check_trackers
from asap.workflows.training.validation import HeldOut, Validation

__all__ = ["TrainResult", "latents_of", "loss_settings", "prepare", "run", "train", "train_settings"]

Report = Callable[[str], None]
CHECKPOINTS, LOG, MANIFEST = "checkpoints", "log.jsonl", "manifest.json"
MEAN_STEPS: Final = 20
"""Last steps over which the numbers of a result are averaged."""


class TrainResult(TypedDict):
    """Result of a run; means are over its last 20 steps."""

    method: str
    steps: int
    weights: str
    """Folder of the adapter or of the full weights."""
    loss: float | None
    delta: float | None
    accuracy: float | None
    winner_rise: float | None
    """E_theta - E_ref of the chosen side; below 0 when it improved."""
    seconds: float
    """Time in the loop over all sessions, without loading and encoding."""
    stopped: str
    """Empty, or why the run ended before its last step."""
    warnings: int
    best_step: int | None
    """Steps after which the held-out loss was lowest; these weights lie in ``best``. 0: it never fell below that of the
    start; None: there were no held-out pairs."""


def train(model: str, pairs: Path, out: Path, *, report: Report = lambda _: None, **settings: object) -> TrainResult:
    """Align a model with the training split of a pair store.

    Args:
        model: a known name, a pipeline folder, or an id of the hub.
        pairs: a finished pair store.
        out: folder of the run.
        report: receives the resolved settings and warnings, line by line.
        settings: any setting of ``TrainConfig`` and its sections by name, for instance method, steps or lr.

    Raises:
        InputError: any of these is wrong, or the folder holds another run; nothing of a new run remains.
        TrainingError: the loss is not a number; the newest checkpoint stays.
    """
    return run(configure({**settings, "model": str(model), "pairs": pairs, "out": out}), report)


def run(config: TrainConfig, report: Report = lambda _: None) -> TrainResult:
    """``train`` with a configuration."""
    plan, data = prepare(config), config.data
    for line in settings_summary(plan.config()) if plan.world.is_main else ():
        report(line)
    if plan.skipped and plan.world.is_main:
        report(plan.skipped_summary)
    folder = data.cache or latents_of(config.pairs)
    with _claimed(plan, resume=config.resume), Cache(folder, data.cache_limit, holds=plan.world.is_main) as cache:
        held = _held_out(plan, cache)
        return _train(plan, _source(plan, cache), held, _prompts(plan, config.validation.prompts), report)


def _train(
    plan: Plan, source: LatentPairs, held: HeldOut | None, prompts: tuple[str, ...], report: Report
) -> TrainResult:
    """Train from the newest checkpoint (or from the start) to the end and write the result."""
    references = reference_cache(plan, source)
    trainer = build_trainer(plan, source, references)
    settings, watch = plan.settings, plan.watch
    loop = Loop(
        trainer,
        LoopSettings(
            name=plan.method.name,
            steps=settings.steps,
            schedule=Schedule(lr=settings.lr, warmup=settings.warmup),
            max_grad_norm=settings.max_grad_norm,
            ema=settings.ema,
            checkpoint_every=watch.checkpoint_every,
        ),
        scale=LossScale.of(trainer.precision),
        world=plan.world,
    )

    def save(folder: Path, notes: Mapping[str, object]) -> None:
        def write() -> None:
            weights = save_trained(plan.backbone, folder, full=plan.rank is None)
            plan.manifest(weights, notes).write(folder / MANIFEST)

        with trainer.saving():
            plan.world.on_main(write)

    monitor = AlignmentMonitor(
        plan.out,
        validation=Validation(trainer, plan.backbone, plan.world, watch, held, prompts),
        validate_every=watch.validate_every,
        snapshots=plan.snapshots,
        stop=StopRules(rise=settings.stop_on_rise, drift=watch.stop_on_drift, texture=watch.stop_on_texture),
        references=references,
        start_trackers=lambda step: Trackers(
            trainer.accelerator, plan.trackers, plan.out, plan.claimed(), first_step=step
        ),
        save=save,
        report=report,
    )
    loop.run(CheckpointStore(plan.out / CHECKPOINTS), monitor, lambda done: TrainLog(plan.out / LOG, done=done))
    monitor.trackers.close()
    with loop.averaged(), trainer.saving():
        result = plan.world.broadcast(plan.world.on_main(lambda: _write_result(plan, loop, monitor.history)))
    assert result is not None
    return result


def _write_result(plan: Plan, loop: Loop, history: ValidationHistory) -> TrainResult:
    log = loop.log
    assert log is not None
    weights = save_trained(plan.backbone, plan.out, full=plan.rank is None)
    result = TrainResult(
        method=plan.method.name,
        steps=loop.done,
        weights=str(weights),
        loss=log.tail("loss", MEAN_STEPS),
        delta=log.tail("delta", MEAN_STEPS),
        accuracy=log.tail("accuracy", MEAN_STEPS),
        winner_rise=log.tail("winner_rise", MEAN_STEPS),
        seconds=loop.seconds,
        stopped=loop.stopped,
        warnings=log.warnings,
        best_step=history.best_step,
    )
    notes = {key: value for key, value in result.items() if key not in ("method", "weights")}
    write_card(weights, plan.config(), plan.facts(history.last), result)
    plan.manifest(weights, notes).write(plan.out / MANIFEST)
    return result


def latents_of(pairs: Path) -> Path:
    """Where the encoded pairs of a store lie by default: beside it, ``NAME.latents``."""
    return pairs.parent / f"{pairs.name}.latents"


def _forget(out: Path) -> None:
    """Remove what an earlier run left in ``out``, to start it over."""
    (out / MANIFEST).unlink(missing_ok=True)
    (out / TRACKING).unlink(missing_ok=True)
    for name in (CHECKPOINTS, SNAPSHOTS, "adapter", "denoiser", BEST, VALIDATION, "tensorboard", "wandb"):
        shutil.rmtree(out / name, ignore_errors=True)
    (out / LOG).unlink(missing_ok=True)


@contextmanager
def _claimed(plan: Plan, *, resume: bool) -> Iterator[None]:
    """Hold the run's folder; a run that fails before its first checkpoint leaves nothing in it.

    The main process holds it for all.
    """
    fresh = not plan.out.exists()
    with ExitStack() as held:
        try:
            plan.world.on_main(lambda: _claim(plan, held, resume=resume))
            yield
        except AsapError:
            held.close()
            if plan.world.is_main and fresh and not (plan.out / CHECKPOINTS).exists():
                shutil.rmtree(plan.out, ignore_errors=True)
            raise


def _claim(plan: Plan, held: ExitStack, *, resume: bool) -> None:
    held.enter_context(WriterLock(plan.out))
    claim(plan.out, "training run", plan.claimed())
    if not resume:
        _forget(plan.out)


def prepare(config: TrainConfig) -> Plan:
    """Join the other processes and open what the run reads; nothing is written yet.

    Raises:
        InputError: the device is absent, the model or the pairs cannot be read, or no pair is of the kinds asked for.
    """
    check_trackers(config.validation.track)
    method, loss = loss_settings(config)
    crop_settings = CropSettings(buckets=config.data.buckets, window=config.data.window)
    options = config.runtime.options()
    device = options.settled().device
    fsdp = fsdp_requested()
    world = World("cpu" if device == "cpu" else None)
    settings = train_settings(config, world.size)
    _check_offload(config, world)
    store = PairStore.open(config.pairs, split="train")
    options = replace(options, device=str(world.device)) if world.size > 1 and device != "cpu" else options
    backbone = load(config.model, options)
    kinds = config.data.kinds
    positions = [position for position, kind in enumerate(store.column("kind")) if kind in kinds]
    if not positions:
        wanted = " or ".join(kinds)
        raise InputError(f"{config.pairs} has no training pair of kind {wanted}; build more, or take other kinds")
    cropper = Cropper(backbone, crop_settings)
    crops, faults = crops_of(store, positions, cropper)
    if not crops:
        raise InputError(f"no pair of {config.pairs} can be trained on: {faults[0]}")
    return Plan(
        out=config.out,
        model=config.model,
        fingerprint=model_fingerprint(backbone),
        backbone=backbone,
        pairs=store,
        positions=tuple(crops),
        cropper=cropper,
        crops=() if crop_settings.plain else tuple(crops.values()),
        skipped=faults,
        method=method,
        loss=loss,
        settings=_precise(backbone, settings),
        rank=config.rank,
        kinds=tuple(sorted(kinds)),
        snapshots=frozenset(config.validation.snapshots),
        watch=config.validation,
        trackers=tuple(dict.fromkeys(config.validation.track)),
        world=world,
        fsdp=fsdp,
        away=torch.device(options.settled().device) if options.offload == "blocks" else None,
    )


def loss_settings(config: TrainConfig) -> tuple[Method, LossSettings]:
    """The method and its objective.

    Raises:
        UnknownNameError: no such method.
    """
    scale = None if config.loss.scale == "auto" else config.loss.scale
    return resolve_method(config.method, {**vars(config.loss), "scale": scale})


def train_settings(config: TrainConfig, processes: int) -> TrainSettings:
    """The settings of the trainer in one of ``processes`` processes.

    Raises:
        ConfigError: the global batch cannot be split.
    """
    optim, runtime = config.optim, config.runtime
    return TrainSettings(
        steps=optim.steps,
        batch_size=optim.batch_size,
        grad_accum=config.grad_accum(processes),
        lr=config.lr,
        warmup=optim.warmup,
        optimizer=optim.optimizer,
        weight_decay=optim.weight_decay,
        max_grad_norm=optim.max_grad_norm,
        ema=optim.ema,
        seed=config.seed,
        adapter=config.adapter,
        precision=runtime.precision,
        checkpointing=runtime.checkpointing,
        gradient=runtime.gradient,
        skip_satisfied=runtime.skip_satisfied,
        reuse_reference=runtime.reuse_reference,
        stop_on_rise=config.validation.stop_on_rise,
        **vars(config.noise),
    )


def _check_offload(config: TrainConfig, world: World) -> None:
    """Refuse what cannot be trained with weights that come and go."""
    if config.runtime.offload != "blocks":
        return
    wrong = {
        "trains every weight": config.full,
        "trains DoRA, which reads all weights": config.adapter == "dora",
        f"has {world.size} processes": world.size > 1,
    }
    if found := [reason for reason, true in wrong.items() if true]:
        raise InputError(f"offload blocks is for LoRA in one process, but this run {found[0]}; offload parts instead")


def _precise(backbone: Backbone, settings: TrainSettings) -> TrainSettings:
    """Settle ``auto``, and tell a backbone that computes in bfloat16 by a switch of its own."""
    settings = replace(
        settings, precision=resolve_precision(settings.precision, next(backbone.denoiser.parameters()).device)
    )
    backbone.set_bf16(settings.precision == "bf16")
    return settings


def _source(plan: Plan, cache: Cache) -> LatentPairs:
    """The run's pairs, those that it will touch encoded."""
    touched = plan.order().needed(plan.settings.steps)
    encoded = _encoded(plan, plan.pairs, cache, [plan.positions[index] for index in touched])
    return LatentPairs(encoded, plan.positions, plan.cropper, plan.crops)


def _encoded(plan: Plan, pairs: PairStore, cache: Cache, wanted: Sequence[int]) -> EncodedPairs:
    """Pairs of which ``wanted`` are encoded: by the main process, while the others wait."""

    def encode() -> EncodedPairs:
        return encode_pairs(pairs, plan.backbone, plan.fingerprint, cache, wanted, plan.cropper.settings)

    first = plan.world.on_main(encode)
    return encode() if first is None else first


def _held_out(plan: Plan, cache: Cache) -> HeldOut | None:
    """Pairs of the split ``val`` to look at, spread over it and seen whole; None if none are there or wanted."""
    watch = plan.watch
    if not watch.validate_every or not watch.held_out:
        return None
    try:
        store = PairStore.open(plan.pairs.root, split="val")
    except StoreError:
        return None
    positions = [position for position, kind in enumerate(store.column("kind")) if kind in plan.kinds]
    cropper = Cropper(plan.backbone, replace(plan.cropper.settings, window=1.0))
    suitable = crops_of(store, positions, cropper)[0]
    positions = list(suitable)
    count = min(watch.held_out, len(positions))
    if not count:
        return None
    chosen = [positions[index * len(positions) // count] for index in range(count)]
    names = store.columns("part", "operation")
    crops = () if cropper.settings.plain else tuple(suitable[position] for position in chosen)
    return HeldOut(
        source=LatentPairs(_encoded(plan, store, cache, chosen), chosen, cropper, crops),
        parts=tuple(names["part"][position] for position in chosen),
        operations=tuple(names["operation"][position] for position in chosen),
    )


def _prompts(plan: Plan, given: Sequence[str]) -> tuple[str, ...]:
    """What validation images are drawn of: as given, or the first different captions of the pairs."""
    watch = plan.watch
    if not watch.validate_every or not watch.validation_images:
        return ()
    captions = given or tuple(dict.fromkeys(plan.pairs.column("prompt")))
    return tuple(captions[: watch.validation_images])
