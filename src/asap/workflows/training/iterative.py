"""Stage: a model and a screen -> rounds, each of pairs of the model's own tries and an alignment on them -> a model.

Pairs that a model has drawn grow stale while it learns from them: what was its worst is soon no longer drawn. So each
round draws anew with the model of the round before (iterative preference optimization, arXiv:2401.10020, with a screen
that stays as it is). Every round is a folder: ``pairs``, ``run``, and ``model``, a plain pipeline folder, which the
next begins with and is held to as its reference. Run again, it goes on where it was.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from asap.backbones.family import LoadOptions, device_named
from asap.core.errors import AsapError, InputError
from asap.core.vocabulary import Scene
from asap.stores.config import claim
from asap.stores.lock import WriterLock
from asap.workflows.pairs.builder import build_store
from asap.workflows.pairs.on_policy import OnPolicy
from asap.workflows.runtime.lineage import MANIFEST
from asap.workflows.training.export import fuse
from asap.workflows.training.run import train

__all__ = ["RoundSettings", "align_in_rounds", "begun_with", "round_folder"]


@dataclass(frozen=True, kw_only=True)
class RoundSettings:
    """What decides the outcome of all rounds but their number and the processes; a folder belongs to one of them."""

    model: str = "mini"
    count: int = 400
    """Pairs a round."""
    screen: str = "ranker"
    """A learned judge that orders the model's tries, see ``pairs.on_policy``."""
    draws: int = 4
    whole: float = 0.5
    """Share of pairs that show a whole person drawn anew, not one part."""
    scene: Scene = "varied"
    method: str = "localized_dpo"
    steps: int = 64
    """Of each round's alignment."""
    batch_size: int = 8
    lr: float = 3e-5
    full: bool = True
    """Train all weights; a LoRA if not."""
    seed: int = 0
    """Of pairs and training; people are new in every round."""


def round_folder(out: Path, number: int) -> Path:
    """Of round ``number``, from 1."""
    return out / f"round-{number}"


def begun_with(out: Path, how: RoundSettings, number: int) -> str:
    """The model that round ``number`` begins with: a name for the first, then the folder of the round before."""
    return how.model if number == 1 else str(round_folder(out, number - 1) / "model")


def align_in_rounds(
    out: Path,
    *,
    rounds: int,
    settings: RoundSettings | None = None,
    workers: int = 1,
    device: str = "auto",
    report: Callable[[str], None] = lambda _: None,
) -> Path:
    """Align in ``rounds`` rounds and return the last one's pipeline folder.

    Args:
        out: folder of the rounds; more rounds can be asked for later.
        rounds: how many, at least 1.
        settings: of each.
        workers: processes that draw pairs on a CPU; the outcome does not depend on it.
        device: of torch; a GPU if there is one.
        report: is given a line now and then.

    Raises:
        InputError: a number out of range, ``out`` belongs to other settings, or a round's model makes no pairs that
            the screen can order.
        StoreError: the screen is no learned judge, or another process is at work in ``out``.
        TrainingError: a round's loss is no number.
    """
    how, where = settings or RoundSettings(), device_named(device)
    if rounds < 1:
        raise InputError(f"rounds must be at least 1, got {rounds}")
    if not how.screen:
        raise InputError("rounds want a screen that orders what the model draws: ranker, or the folder of a judge")
    fresh = not out.exists()
    try:
        with WriterLock(out):
            claim(out, "rounds", dict(vars(how)))
            for number in range(1, rounds + 1):
                _round(out, how, number, workers, where, report)
    except AsapError:
        if fresh and not round_folder(out, 1).exists():  # nothing was made, so another try may have other settings
            shutil.rmtree(out, ignore_errors=True)
        raise
    return round_folder(out, rounds) / "model"


def _round(
    out: Path, how: RoundSettings, number: int, workers: int, device: str, report: Callable[[str], None]
) -> None:
    """One round, or what is left to do of it."""
    folder, model = round_folder(out, number), begun_with(out, how, number)
    if (folder / "model" / MANIFEST).is_file():
        return
    report(f"round {number}: {how.count} pairs drawn by {model}")
    producer = OnPolicy(
        count=how.count,
        model=model,
        seed=how.seed + number - 1,
        scene=how.scene,
        ranker=how.screen,
        samples=how.draws,
        whole_share=how.whole,
        device=device,
    )
    build_store(folder / "pairs", producer, workers=workers)
    report(f"round {number}: {how.steps} steps of {how.method}")
    teaching = {name: getattr(how, name) for name in ("method", "steps", "batch_size", "lr", "full", "seed")}
    train(model, folder / "pairs", folder / "run", **teaching, device=device)
    if (folder / "model").exists():  # written in part: its manifest comes last
        shutil.rmtree(folder / "model")
    fuse(model, folder / "run", folder / "model", options=LoadOptions(device=device))
