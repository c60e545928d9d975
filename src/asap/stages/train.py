"""[pairs] -> [latents] -> align -> adapter or denoiser weights: one training run in one folder.

OUT/
  config.json       the settings it was begun with; a rerun must ask for the same (only ``steps`` may differ)
  log.jsonl         one line a step, and one for each warning
  checkpoints/      the newest state, for resuming
  snapshots/        step-000050/ with adapter (or denoiser) and manifest, for the steps asked for
  adapter/          LoRA in diffusers format; or denoiser/, the full weights
  manifest.json     written last: resolved settings, parents, instruments
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Final

from asap.align.batch import needed_pairs
from asap.align.methods import LossSettings, Method, resolve
from asap.align.trainer import TrainSettings, fast_bf16
from asap.backbones import Backbone, load
from asap.core.errors import AsapError, ConfigError, InputError, StoreError
from asap.core.settings import typed
from asap.core.vocabulary import KINDS
from asap.stages.encode import LatentPairs, encode_pairs, model_fingerprint
from asap.stages.processes import Team
from asap.stages.trackers import check_trackers
from asap.stages.training import CHECKPOINTS, Plan, TrainResult, execute, forget
from asap.stages.validation import HeldOut
from asap.stages.watching import Watch
from asap.stores.config import claim
from asap.stores.lock import WriterLock
from asap.stores.pairs import PairStore

__all__ = ["TrainResult", "latents_of", "train"]

LR: Final = {"lora": 1e-4, "full": 8e-6}
"""Learning rates that hold in practice: the usual one of adapters, and the one at which full training stayed whole."""
RANK: Final = 16


def train(
    model: str,
    pairs: Path,
    out: Path,
    *,
    method: str = "asap",
    steps: int = 150,
    batch_size: int = 12,
    grad_accum: int = 1,
    lr: float | None = None,
    alpha: float | None = None,
    tau: float | None = None,
    beta: float | None = None,
    seed: int = 0,
    lora_rank: int | None = None,
    full: bool = False,
    resume: bool = True,
    snapshots: Sequence[int] = (),
    kinds: Sequence[str] = ("defect",),
    options: Mapping[str, object] | None = None,
    cache: Path | None = None,
    track: Sequence[str] = (),
    prompts: Sequence[str] = (),
) -> TrainResult:
    """Align a model with the training split of a pair store.

    Args:
        model: a known name or a pipeline folder.
        pairs: a finished pair store.
        out: folder of the run.
        method: one of ``align.METHODS``.
        steps: optimizer steps, and so on: see ``TrainSettings``.
        batch_size: pairs a micro-batch.
        grad_accum: micro-batches a step.
        lr: learning rate; None: 1e-4 for an adapter, 8e-6 for all weights.
        alpha: overrides the method's own, see ``LossSettings``.
        tau: likewise.
        beta: likewise.
        seed: decides order, noise, times and the adapter's start.
        lora_rank: rank and scaling numerator of the adapter; None: 16.
        full: train all weights of the denoiser instead.
        resume: go on with a stopped run in ``out``; False starts it over.
        snapshots: numbers of steps after which the weights are saved as well.
        kinds: kinds of pairs to learn from, of ``vocabulary.KINDS``.
        options: any further field of ``LossSettings``, ``TrainSettings`` or ``Watch`` by name (draws, ema, precision,
            time_range, checkpoint_every...); None leaves it as it is.
        cache: folder of encoded pairs; None: beside the pair store, ``NAME.latents``.
        track: where to show the run's numbers and pictures besides: tensorboard, trackio, wandb.
        prompts: what validation pictures are drawn of; none: the first captions of the pairs.

    Raises:
        InputError: any of these is wrong, or the folder holds another run; nothing of a new run remains.
        TrainingError: the loss is not a number; the newest checkpoint stays.
    """
    lr = lr if lr is not None else LR["full" if full else "lora"]
    stepping = {"steps": steps, "batch_size": batch_size, "grad_accum": grad_accum, "lr": lr, "seed": seed}
    given = {"alpha": alpha, "tau": tau, "beta": beta, **(options or {})}
    chosen, loss, settings, watch = _settings(method, given, stepping)
    check_trackers(track)
    team = Team("cpu")
    plan = _plan(
        model,
        pairs,
        out,
        chosen,
        loss,
        settings,
        rank=_rank(lora_rank, full),
        kinds=kinds,
        snapshots=snapshots,
        watch=watch,
        trackers=track,
        team=team,
    )
    folder = cache or latents_of(pairs)
    with _claimed(plan, resume=resume):
        held = _held_out(plan, folder)
        return execute(plan, _source(plan, folder), held, _prompts(plan, prompts))


def latents_of(pairs: Path) -> Path:
    """Where the encoded pairs of a store lie unless told otherwise: beside it, ``NAME.latents``."""
    return pairs.parent / f"{pairs.name}.latents"


@contextmanager
def _claimed(plan: Plan, *, resume: bool) -> Iterator[None]:
    """Hold the run's folder; a run that fails before its first checkpoint leaves nothing in it.

    The main process holds it for all.
    """
    fresh = not plan.out.exists()
    with ExitStack() as held:
        try:
            plan.team.lead(lambda: _claim(plan, held, resume=resume))
            yield
        except AsapError:
            held.close()
            if plan.team.main and fresh and not (plan.out / CHECKPOINTS).exists():
                shutil.rmtree(plan.out, ignore_errors=True)
            raise


def _claim(plan: Plan, held: ExitStack, *, resume: bool) -> None:
    held.enter_context(WriterLock(plan.out))
    claim(plan.out, "training run", plan.claimed())
    if not resume:
        forget(plan.out)


def _rank(lora_rank: int | None, full: bool) -> int | None:
    """The adapter's rank, None for full training; raises ``ConfigError`` if both are asked for."""
    if full and lora_rank is not None:
        raise ConfigError("full trains every weight, lora_rank an adapter; ask for one of them")
    if lora_rank is not None and lora_rank < 1:
        raise ConfigError(f"lora_rank must be at least 1, got {lora_rank}")
    return None if full else (RANK if lora_rank is None else lora_rank)


def _settings(
    method: str, options: Mapping[str, object], stepping: Mapping[str, object]
) -> tuple[Method, LossSettings, TrainSettings, Watch]:
    """Split ``options`` over the three kinds of settings and check all of them."""
    chosen_ones = {key: value for key, value in options.items() if value is not None}
    given = typed({**stepping, **chosen_ones}, TrainSettings, LossSettings, Watch)
    names = {kind: {item.name for item in fields(kind)} for kind in (TrainSettings, Watch)}
    parts = {kind: {key: value for key, value in given.items() if key in own} for kind, own in names.items()}
    known = set[str]().union(*names.values())
    chosen, loss = resolve(method, {key: value for key, value in given.items() if key not in known})
    settings, watch = TrainSettings(**parts[TrainSettings]), Watch(**parts[Watch])
    if faults := [*settings.faults(), *watch.faults()]:
        raise ConfigError.collect(faults)
    return chosen, loss, settings, watch


def _plan(
    model: str,
    pairs: Path,
    out: Path,
    method: Method,
    loss: LossSettings,
    settings: TrainSettings,
    *,
    rank: int | None,
    kinds: Sequence[str],
    snapshots: Sequence[int],
    watch: Watch,
    trackers: Sequence[str],
    team: Team,
) -> Plan:
    """Open what the run reads; nothing is written yet."""
    if not kinds or set(kinds) - set(KINDS):
        raise ConfigError(f"kinds must be some of {', '.join(KINDS)}, got {', '.join(kinds) or 'none'}")
    store, backbone = PairStore.open(pairs, split="train"), load(model)
    positions = [position for position, kind in enumerate(store.column("kind")) if kind in kinds]
    if not positions:
        raise InputError(f"{pairs} has no training pair of kind {' or '.join(kinds)}; build more, or take other kinds")
    settings = _precise(backbone, settings)
    return Plan(
        out=out,
        model=model,
        fingerprint=model_fingerprint(backbone),
        backbone=backbone,
        pairs=store,
        positions=tuple(positions),
        method=method,
        loss=loss,
        settings=settings,
        rank=rank,
        kinds=tuple(sorted(kinds)),
        snapshots=frozenset(snapshots),
        watch=watch,
        trackers=tuple(dict.fromkeys(trackers)),
        team=team,
    )


def _precise(backbone: Backbone, settings: TrainSettings) -> TrainSettings:
    """Settle ``auto``, and tell a backbone that computes in bfloat16 by a switch of its own."""
    if settings.precision == "auto":
        device = next(backbone.denoiser.parameters()).device
        settings = replace(settings, precision="bf16" if fast_bf16(device) else "fp32")
    if hasattr(backbone, "bf16"):
        backbone.bf16 = settings.precision == "bf16"
    return settings


def _source(plan: Plan, cache: Path) -> LatentPairs:
    """The run's pairs, those that it will touch encoded."""
    touched = needed_pairs(plan.settings.seed, plan.settings.steps, plan.global_batch, len(plan.positions))
    return _encoded(plan, plan.pairs, cache, [plan.positions[index] for index in touched], plan.positions)


def _encoded(plan: Plan, pairs: PairStore, cache: Path, wanted: Sequence[int], positions: Sequence[int]) -> LatentPairs:
    """Pairs at ``positions`` of which ``wanted`` are encoded: by the main process, while the others wait."""

    def encode() -> LatentPairs:
        return LatentPairs(encode_pairs(pairs, plan.backbone, plan.fingerprint, cache, wanted), positions)

    first = plan.team.lead(encode)
    return encode() if first is None else first


def _held_out(plan: Plan, cache: Path) -> HeldOut | None:
    """Pairs of the split ``val`` to look at, spread over it; None if nothing is looked at or there are none."""
    watch = plan.watch
    if not watch.validate_every or not watch.held_out:
        return None
    try:
        store = PairStore.open(plan.pairs.root, split="val")
    except StoreError:
        return None
    positions = [position for position, kind in enumerate(store.column("kind")) if kind in plan.kinds]
    count = min(watch.held_out, len(positions))
    if not count:
        return None
    chosen = [positions[index * len(positions) // count] for index in range(count)]
    names = {name: store.column(name) for name in ("part", "operation")}
    return HeldOut(
        source=_encoded(plan, store, cache, chosen, chosen),
        parts=tuple(names["part"][position] for position in chosen),
        operations=tuple(names["operation"][position] for position in chosen),
    )


def _prompts(plan: Plan, given: Sequence[str]) -> tuple[str, ...]:
    """What validation pictures are drawn of: as given, or the first different captions of the pairs."""
    watch = plan.watch
    if not watch.validate_every or not watch.images:
        return ()
    captions = given or tuple(dict.fromkeys(plan.pairs.column("prompt")))
    return tuple(captions[: watch.images])
