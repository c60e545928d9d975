"""[pairs] -> [latents] -> align -> adapter or denoiser weights: one training run in one folder.

OUT/
  config.json       the settings it was begun with; a rerun must ask for the same (only ``steps`` may differ)
  log.jsonl         one line a step, and one for each warning
  checkpoints/      the newest state, for resuming
  tracking.json     what trackio or wandb know the run by, where one of them was asked for
  snapshots/        step-000050/ with adapter (or denoiser) and manifest, for the steps asked for
  adapter/          LoRA in diffusers format; or denoiser/, the full weights
  manifest.json     written last: resolved settings, parents, instruments
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from asap.align.precision import resolve_precision
from asap.align.settings import TrainSettings
from asap.backbones import Backbone, load
from asap.backbones.fingerprint import model_fingerprint
from asap.core.errors import AsapError, InputError, StoreError
from asap.stores.cache import Cache
from asap.stores.config import claim
from asap.stores.lock import WriterLock
from asap.stores.pairs import PairStore
from asap.workflows.runtime.distributed import World, fsdp_requested
from asap.workflows.training.config import Request, request, settle
from asap.workflows.training.crops import Framer, views_of
from asap.workflows.training.execution import CHECKPOINTS, Plan, TrainResult, execute, forget
from asap.workflows.training.latents import EncodedPairs, LatentPairs, encode_pairs
from asap.workflows.training.validation import HeldOut

__all__ = ["TrainResult", "latents_of", "prepare", "run", "train"]


def train(
    model: str, pairs: Path, out: Path, *, options: Mapping[str, object] | None = None, **settings: object
) -> TrainResult:
    """Align a model with the training split of a pair store.

    Args:
        model: a known name, a pipeline folder, or an id of the hub.
        pairs: a finished pair store.
        out: folder of the run.
        options: further settings.
        settings: anything that ``Request`` lists: method, steps, batch_size, lora_rank...; None keeps the default.

    Raises:
        InputError: any of these is wrong, or the folder holds another run; nothing of a new run remains.
        TrainingError: the loss is not a number; the newest checkpoint stays.
    """
    asked = request({**settings, **(options or {}), "model": str(model), "pairs": pairs, "out": out})
    return run(asked)


def run(asked: Request) -> TrainResult:
    """``train`` for a checked request."""
    plan = prepare(asked)
    folder = asked.cache or latents_of(asked.pairs)
    with _claimed(plan, resume=asked.resume), Cache(folder, asked.cache_limit, holds=plan.world.is_main) as cache:
        held = _held_out(plan, cache)
        return execute(plan, _source(plan, cache), held, _prompts(plan, asked.prompts))


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
        forget(plan.out)


def prepare(asked: Request) -> Plan:
    """Join the other processes and open what the run reads; nothing is written yet.

    Raises:
        InputError: the device is absent, the model or the pairs cannot be read, or no pair is of the kinds asked for.
    """
    device = asked.load.settled().device
    fsdp = fsdp_requested()
    world = World("cpu" if device == "cpu" else None)
    asked = settle(asked, world.size)
    _check_offload(asked, world)
    store = PairStore.open(asked.pairs, split="train")
    options = replace(asked.load, device=str(world.device)) if world.size > 1 and device != "cpu" else asked.load
    backbone = load(asked.model, options)
    positions = [position for position, kind in enumerate(store.column("kind")) if kind in asked.kinds]
    if not positions:
        kinds = " or ".join(asked.kinds)
        raise InputError(f"{asked.pairs} has no training pair of kind {kinds}; build more, or take other kinds")
    framer = Framer(backbone, asked.framing)
    return Plan(
        out=asked.out,
        model=asked.model,
        fingerprint=model_fingerprint(backbone),
        backbone=backbone,
        pairs=store,
        positions=tuple(positions),
        framer=framer,
        views=() if asked.framing.plain else views_of(store, positions, framer),
        method=asked.shape,
        loss=asked.loss,
        settings=_precise(backbone, asked.training),
        rank=asked.rank,
        kinds=tuple(sorted(asked.kinds)),
        snapshots=frozenset(asked.snapshots),
        watch=asked.watch,
        trackers=tuple(dict.fromkeys(asked.track)),
        world=world,
        fsdp=fsdp,
        away=torch.device(options.settled().device) if options.offload == "blocks" else None,
    )


def _check_offload(asked: Request, world: World) -> None:
    """Refuse what cannot be trained with weights that come and go."""
    if asked.load.offload != "blocks":
        return
    wrong = {
        "trains every weight": asked.full,
        "trains DoRA, which reads all weights": asked.training.adapter == "dora",
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
    return LatentPairs(encoded, plan.positions, plan.framer, plan.views)


def _encoded(plan: Plan, pairs: PairStore, cache: Cache, wanted: Sequence[int]) -> EncodedPairs:
    """Pairs of which ``wanted`` are encoded: by the main process, while the others wait."""

    def encode() -> EncodedPairs:
        return encode_pairs(pairs, plan.backbone, plan.fingerprint, cache, wanted, plan.framer.framing)

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
    count = min(watch.held_out, len(positions))
    if not count:
        return None
    chosen = [positions[index * len(positions) // count] for index in range(count)]
    names = store.columns("part", "operation")
    framer = Framer(plan.backbone, replace(plan.framer.framing, window=1.0))
    views = () if framer.framing.plain else views_of(store, chosen, framer)
    return HeldOut(
        source=LatentPairs(_encoded(plan, store, cache, chosen), chosen, framer, views),
        parts=tuple(names["part"][position] for position in chosen),
        operations=tuple(names["operation"][position] for position in chosen),
    )


def _prompts(plan: Plan, given: Sequence[str]) -> tuple[str, ...]:
    """What validation images are drawn of: as given, or the first different captions of the pairs."""
    watch = plan.watch
    if not watch.validate_every or not watch.images:
        return ()
    captions = given or tuple(dict.fromkeys(plan.pairs.column("prompt")))
    return tuple(captions[: watch.images])
