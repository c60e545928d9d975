"""Our training step beside diffusers' on the same small models, batch and machine, in turn in one run.

    python -m benchmarks.align.run --out benchmarks/align/results-cpu.json

Times are CPU seconds of the process (one thread), which other work on the machine disturbs little, with wall seconds
beside them. In each round every step runs once; a ratio is taken within each round, and what is told is the median over
rounds, with the lowest and the highest beside it, because a shared machine drifts by more between rounds than within
one. Memory is the most bytes that autograd keeps for the backward at one time, weights not counted; two passes have
their gradient buffers added. The share of the encoder is measured in the same rounds; a run in which it lies outside
0.67 to 0.73 says so and ends with exit code 1.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from benchmarks.align import models, share
from benchmarks.align.ours import StoredPairs, trainer
from benchmarks.align.peer import PeerStep
from torch import Tensor, nn

from asap.backbones.pipeline import PipelineBackbone
from asap.stores.references import ReferenceStore

RANK: Final = 4
"""The peer's default."""
TRIAL: Final = 2
"""Rounds that try an encoder; they are not counted, and after them the reference bank knows its one draw."""
SHARED: Final = ("encode", "forward")
REPEATS: Final = 5
"""Times that these two are called in a round, in turn: their ratio must not leave bounds of 4 % by chance."""
TRIALS: Final = 4
"""Encoders that are tried in rounds."""
NEAR: Final = 0.02
"""So far from the share wanted it may be in trial rounds."""
BOUNDS: Final = (0.67, 0.73)
"""Where the encoder's share must lie."""
STEPS: Final = ("diffusers", "diffusers_checkpointing", "asap", "asap_two_pass", "asap_bank")
RATIOS: Final = (
    ("time_vs_diffusers", "asap", "diffusers"),
    ("time_vs_diffusers_equal_memory", "asap_two_pass", "diffusers_checkpointing"),
    ("time_vs_diffusers_bank", "asap_bank", "diffusers"),
    ("encoder_share_of_a_forward", "encode", "forward"),
    ("one_image_of_two", "floor_one_image", "floor"),
)
"""What is divided by what."""
Call = Callable[[], object]
Runs = dict[str, tuple[Call, PipelineBackbone]]
"""Steps by name, and the model of each."""


def saved_bytes(step: Call, weights: nn.Module) -> int:
    """Most bytes of tensors kept for the backward at one time during ``step``."""
    known = {value.untyped_storage().data_ptr() for value in weights.parameters()}
    alive: dict[int, list[int]] = {}
    most = 0

    class Kept:
        def __init__(self, value: Tensor) -> None:
            nonlocal most
            storage = value.untyped_storage()
            self.value, self.key = value, storage.data_ptr()
            if self.key not in known:
                alive.setdefault(self.key, [storage.nbytes(), 0])[1] += 1
                most = max(most, sum(size for size, _ in alive.values()))

        def __del__(self) -> None:
            if self.key in alive:
                alive[self.key][1] -= 1
                if not alive[self.key][1]:
                    del alive[self.key]

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.value):
        step()
    return most


def steps(family: str, work: Path) -> Runs:
    """Every step that is compared, each with a model of its own, and that model."""
    pairs = models.pairs(models.SIZES[family])
    found: Runs = {}
    for name, checkpointing in (("diffusers", False), ("diffusers_checkpointing", True)):
        backbone = models.build(family, share.START)
        peer = PeerStep(family, backbone, pairs, rank=RANK, checkpointing=checkpointing)
        found[name] = (peer.step, backbone)
    ours: dict[str, dict[str, Any]] = {
        "asap": {},
        "asap_two_pass": {"gradient": "two_pass"},
        "asap_bank": {"kept_draws": 1, "bank": ReferenceStore(work, {"benchmark": family})},
    }
    for name, settings in ours.items():
        backbone = models.build(family, share.START)
        source = StoredPairs(family, backbone, pairs, work)
        run = trainer(backbone, source, rank=RANK, **settings)
        found[name] = (run.step, backbone)
        if name == "asap":
            for images, floor in ((2, "floor"), (1, "floor_one_image")):
                found[floor] = (_floor(backbone, source, images), backbone)
    return found


def _floor(backbone: Any, source: StoredPairs, images: int) -> Call:  # noqa: ANN401
    """Forward and backward of the policy alone, on a winner and a loser or on one of them."""
    batch = source.batch([0])
    rows, condition = torch.cat([batch.winner, batch.loser])[:images], batch.condition.repeat(images)
    weights = [value for value in backbone.denoiser.parameters() if value.requires_grad]

    def run() -> object:
        prediction = backbone.denoise(rows, torch.full((images,), 0.4), condition)
        return torch.autograd.grad(prediction.square().mean(), weights)

    return run


def measure(family: str, rounds: int, work: Path) -> dict[str, Any]:
    """Medians and ratios of one family."""
    runs = steps(family, work / family)
    pair = share.Work(family)
    calls = {name: step for name, (step, _) in runs.items()} | {"encode": pair.encode, "forward": pair.forward}
    _rounds(family, calls, 1)
    fit = share.Fit(pair)
    levels, trials = _settle(family, fit, runs, calls)
    cpu, wall = _rounds(family, calls, rounds)
    seconds = {name: float(np.median(values)) for name, values in cpu.items()}
    memory = {name: saved_bytes(step, backbone.denoiser) for name, (step, backbone) in runs.items() if name in STEPS}
    weights = [value for value in runs["asap_two_pass"][1].denoiser.parameters() if value.requires_grad]
    memory["asap_two_pass"] += 2 * sum(4 * value.numel() for value in weights)
    each = {
        name: [ours / theirs for ours, theirs in zip(cpu[one], cpu[other], strict=True)] for name, one, other in RATIOS
    }
    medians = {name: float(np.median(values)) for name, values in each.items()}
    ratios = {name: medians[name] for name in each if name.startswith("time_")}
    return {
        "ratios": {**ratios, "memory_two_pass": memory["asap_two_pass"] / memory["asap"]},
        "ratios_lowest_highest": {name: [min(each[name]), max(each[name])] for name in ratios},
        "encoder_share_of_a_forward": medians["encoder_share_of_a_forward"],
        "one_image_of_two": medians["one_image_of_two"],
        "cpu_seconds": seconds,
        "cpu_seconds_all": cpu,
        "wall_seconds": {name: float(np.median(values)) for name, values in wall.items()},
        "saved_bytes": memory,
        "encoder_channels": levels,
        "encoder_shares_tried": {"/".join(map(str, one)): value for one, value in fit.tried.items()},
        "encoder_shares_in_trial_rounds": trials,
        "denoiser_weights": sum(value.numel() for value in runs["diffusers"][1].denoiser.parameters()),
        "picture": models.SIZES[family],
    }


def _settle(family: str, fit: share.Fit, runs: Runs, calls: dict[str, Call]) -> tuple[models.Levels, dict[str, float]]:
    """Give all the encoder that fits, and correct it by what rounds show; its levels and the shares of rounds."""
    levels, trials = fit.find(), dict[models.Levels, float]()
    for _ in range(TRIALS):
        _use(levels, fit, runs)
        cpu, _ = _rounds(family, calls, TRIAL)
        seen = float(np.median([one / other for one, other in zip(cpu["encode"], cpu["forward"], strict=True)]))
        trials[levels] = seen
        if abs(seen - share.SHARE) <= NEAR:
            break
        levels = fit.corrected(levels, seen)
    best = min(trials, key=lambda one: abs(trials[one] - share.SHARE))
    _use(best, fit, runs)
    return best, {"/".join(map(str, one)): seen for one, seen in trials.items()}


def _use(levels: models.Levels, fit: share.Fit, runs: Runs) -> None:
    fit.work.use(levels)
    for _, backbone in runs.values():
        backbone.pipeline.vae = models.encoder(fit.work.family, levels)


def _rounds(family: str, calls: dict[str, Call], count: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """CPU and wall seconds of every call in ``count`` rounds."""
    cpu: dict[str, list[float]] = {name: [] for name in calls}
    wall: dict[str, list[float]] = {name: [] for name in calls}
    order = [*(name for name in calls if name not in SHARED), *SHARED * REPEATS]
    for number in range(count):
        for name in order:
            call, start = calls[name], time.perf_counter()
            cpu[name].append(share.cpu_seconds(call))
            wall[name].append(time.perf_counter() - start)
        print(f"{family}: round {number + 1} of {count}", file=sys.stderr, flush=True)
    return cpu, wall


def main() -> int:
    """Measure and write; the ratios of the file's head are the worst of the families."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where the figures go")
    parser.add_argument("--work", type=Path, metavar="DIR", help="folder of latents and banks (a temporary one)")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="rounds that are counted (7)")
    parser.add_argument("--families", nargs="+", default=["sdxl", "flux"], metavar="NAME", help="sdxl flux")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        work = given.work or Path(folder)
        found = {}
        for family in given.families:
            found[family] = measure(family, given.rounds, work)
            _write(given.out, found, given.rounds)
    return _judge(found)


def _write(out: Path, found: dict[str, dict[str, Any]], rounds: int) -> None:
    """All that is known so far."""
    names = next(iter(found.values()))["ratios"]
    result = {
        "ratios": {name: max(one["ratios"][name] for one in found.values()) for name in names},
        "device": _processor(),
        "threads": 1,
        "rounds": rounds,
        "versions": {name: version(name) for name in ("torch", "diffusers", "peft", "transformers", "accelerate")},
        "peer": "diffusers train_diffusion_dpo_sdxl.py at 58eb52c0, its step told again (see peer.py)",
        "families": found,
    }
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _judge(found: dict[str, dict[str, Any]]) -> int:
    """Print the families side by side; 1 if a share lies outside its bounds."""
    rows = {name: {family: one["ratios"][name] for family, one in found.items()} for name in _names(found)}
    for name in ("encoder_share_of_a_forward", "one_image_of_two"):
        rows[name] = {family: one[name] for family, one in found.items()}
    print(json.dumps(rows, indent=1))
    outside = [
        name for name, value in rows["encoder_share_of_a_forward"].items() if not BOUNDS[0] <= value <= BOUNDS[1]
    ]
    if outside:
        print(f"the encoder's share lies outside {BOUNDS} for {', '.join(outside)}: run again", file=sys.stderr)
    return int(bool(outside))


def _names(found: dict[str, dict[str, Any]]) -> list[str]:
    return list(next(iter(found.values()))["ratios"])


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"cpu: {named[0] if named else platform.processor()}, {torch.backends.cpu.get_cpu_capability()}"


if __name__ == "__main__":
    sys.exit(main())
