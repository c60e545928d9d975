"""How the noise of delta compares with an absolute and with a relative target margin.

    python benchmarks/align/margin.py --pairs runs/pairs [--model mini] [--full] [--lr 1e-4] [--steps 64] [--out FILE]

Trains the method ``asap`` with each scale and then measures delta on held-out pairs, with one draw of noise and
timestep at a time, as a training step sees it. ``noise``: standard deviation of delta over the draws of a pair in
margins, median over pairs. ``reversed``: share of draws with delta above the margin, at which the squared term lowers
delta. ``gain``: mean delta in reference errors, with a 95 % bootstrap interval over pairs. PYTHONPATH needs the root of
the checkout for a ``--model`` of the form ``tiny/NAME``, a small random pipeline of the tests.
"""

import argparse
import importlib
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from asap.align.batch import NoiseSamples, PairBatch, to_device
from asap.align.heldout import fixed_noise
from asap.align.step import evaluate
from asap.align.trainer import Trainer
from asap.core.seeds import generator
from asap.stores.cache import Cache
from asap.stores.pairs import PairStore
from asap.workflows.training.config import configure
from asap.workflows.training.crops import crops_of
from asap.workflows.training.latents import LatentPairs, encode_pairs
from asap.workflows.training.loop import Loop, LoopSettings, Schedule
from asap.workflows.training.plan import Plan, build_trainer
from asap.workflows.training.run import prepare

SCALES = {"none": "absolute, 0.01", "reference": "relative, 0.05"}
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One row of the table."""

    model: str
    margin: str
    pairs: int
    draws: int
    noise: float
    reversed_share: float
    gain: tuple[float, float, float]


def main() -> None:
    """Print a table, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=Path, required=True, help="pair store with the splits train and val")
    parser.add_argument("--model", default="mini", help="model, or tiny/NAME")
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--full", action="store_true", help="train all weights, not an adapter")
    parser.add_argument("--draws", type=int, default=32, help="draws per held-out pair")
    parser.add_argument("--held-out", type=int, default=48, help="held-out pairs at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(options, scale, Path(folder)) for scale in SCALES]
    print(f"{'model':<12} {'margin':<15} {'noise':>7} {'reversed':>9}  gain [95 %], n pairs x draws")
    for row in rows:
        gain = "{:+.4f} [{:+.4f}, {:+.4f}]".format(*row.gain)
        print(
            f"{row.model:<12} {row.margin:<15} {row.noise:>7.2f} {row.reversed_share:>9.0%}  {gain}, "
            f"{row.pairs} x {row.draws}"
        )
    if options.out:
        options.out.write_text(json.dumps([vars(row) for row in rows], indent=2) + "\n", encoding="utf-8")


def measure(options: argparse.Namespace, scale: str, work: Path) -> Measured:
    """Train with one scale and look at the held-out pairs."""
    plan = prepare(
        configure(
            {
                "model": _model(options.model, work),
                "pairs": options.pairs,
                "out": work / scale,
                "method": "asap",
                "scale": scale,
                "steps": options.steps,
                "batch_size": options.batch_size,
                "lr": options.lr,
                "full": options.full,
                "seed": options.seed,
            }
        )
    )
    with Cache(work / "latents", None, holds=True) as cache:
        trainer = build_trainer(plan, _encoded(plan, plan.pairs, list(plan.positions), cache), None)
        settings = plan.settings
        schedule = Schedule(lr=settings.lr, warmup=settings.warmup)
        loop = Loop(trainer, LoopSettings(name="asap", steps=settings.steps, schedule=schedule))
        for step in range(settings.steps):
            loop.step()
            print(f"\r{options.model} {scale}: step {step + 1} of {settings.steps}", end="", file=sys.stderr)
        print(file=sys.stderr)
        store = PairStore.open(options.pairs, split="val")
        positions = [place for place, kind in enumerate(store.column("kind")) if kind == "defect"]
        held = _encoded(plan, store, positions[: options.held_out], cache)
        deltas, errors = _deltas(trainer, held, options.draws)
    units = errors if scale == "reference" else np.ones_like(errors)
    margins = deltas / (units * plan.loss.target_margin)
    gains = (deltas / errors).mean(axis=1)
    picks = generator(options.seed, "bootstrap").integers(len(gains), size=(10_000, len(gains)))
    low, high = np.quantile(gains[picks].mean(axis=1), (0.025, 0.975))
    return Measured(
        model=options.model,
        margin=SCALES[scale],
        pairs=len(deltas),
        draws=options.draws,
        noise=float(np.median(margins.std(axis=1, ddof=1))),
        reversed_share=float((margins > 1).mean()),
        gain=(float(gains.mean()), float(low), float(high)),
    )


def _model(name: str, work: Path) -> str:
    """The model's name, or the folder of a random pipeline of the tests."""
    if not name.startswith("tiny/"):
        return name
    folder = work / name.replace("/", "-")
    if not folder.exists():
        importlib.import_module(f"tests.backbones.{name.replace('/', '.')}").build(folder)
    return str(folder)


def _encoded(plan: Plan, store: PairStore, positions: list[int], cache: Cache) -> LatentPairs:
    crops, _ = crops_of(store, positions, plan.cropper)
    kept = list(crops)
    encoded = encode_pairs(store, plan.backbone, plan.fingerprint, cache, kept, plan.cropper.settings)
    return LatentPairs(encoded, kept, plan.cropper, ())


@torch.no_grad()
def _deltas(trainer: Trainer, held: LatentPairs, draws: int) -> tuple[Array, Array]:
    """Delta and the reference's error of each pair and draw, (pairs, draws)."""
    deltas, errors = [], []
    for group in held.groups():
        for start in range(0, len(group), 8):
            indices = group[start : start + 8]
            batch = held.batch(indices)
            noise = fixed_noise(batch.image_shape, seed=trainer.settings.seed, pairs=indices, samples=draws)
            rows = [_one(trainer, batch, one) for one in _single(noise)]
            deltas.append(np.stack([delta for delta, _ in rows], axis=1))
            errors.append(np.stack([error for _, error in rows], axis=1))
    return np.concatenate(deltas), np.concatenate(errors)


def _single(noise: NoiseSamples) -> Iterator[NoiseSamples]:
    for draw in range(noise.time.shape[1]):
        yield replace(noise, noise=noise.noise[:, draw : draw + 1], time=noise.time[:, draw : draw + 1])


def _one(trainer: Trainer, batch: PairBatch, noise: NoiseSamples) -> tuple[Array, Array]:
    result = evaluate(trainer.objective, *to_device(batch, noise, trainer.accelerator.device)).errors
    error = 0.5 * (result.reference_chosen + result.reference_rejected)
    return result.delta.double().cpu().numpy(), error.double().cpu().numpy()


if __name__ == "__main__":
    main()
