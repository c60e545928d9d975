"""Our training step beside diffusers' on the same small models, batch and machine, in turn in one run.

    python -m benchmarks.align.run --out benchmarks/align/results-cpu.json

Times are CPU seconds of the process (one thread), which other work on the machine disturbs little, with wall seconds
beside them; each is the median over the rounds, in each of which every step runs once. Memory is the most bytes that
autograd keeps for the backward at one time, weights not counted; two passes have their gradient buffers added. The
share of the encoder is measured in the same rounds; a run in which it lies outside 0.67 to 0.73 says so and ends with
exit code 1.
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

from asap.stores.references import ReferenceStore

RANK: Final = 4
"""The peer's default."""
WARM: Final = 1
"""Rounds that are not counted; after them the reference bank knows its draws, of which there is one."""
BOUNDS: Final = (0.67, 0.73)
"""Where the encoder's share must lie."""
Call = Callable[[], object]


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


def steps(family: str, levels: models.Levels, work: Path) -> dict[str, tuple[Call, nn.Module]]:
    """Every step that is compared, each with a model of its own, and that model."""
    pairs = models.pairs(models.SIZES[family])
    found: dict[str, tuple[Call, nn.Module]] = {}
    for name, checkpointing in (("diffusers", False), ("diffusers_checkpointing", True)):
        backbone = models.build(family, levels)
        peer = PeerStep(family, backbone, pairs, rank=RANK, checkpointing=checkpointing)
        found[name] = (peer.step, backbone.denoiser)
    ours: dict[str, dict[str, Any]] = {
        "asap": {},
        "asap_two_pass": {"gradient": "two_pass"},
        "asap_bank": {"kept_draws": 1, "bank": ReferenceStore(work, {"benchmark": family})},
    }
    for name, settings in ours.items():
        backbone = models.build(family, levels)
        source = StoredPairs(family, backbone, pairs, work)
        run = trainer(backbone, source, rank=RANK, **settings)
        found[name] = (run.step, backbone.denoiser)
        if name == "asap":
            for images, floor in ((2, "floor"), (1, "floor_one_image")):
                found[floor] = (_floor(backbone, source, images), backbone.denoiser)
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
    fit = share.fit(family)
    runs = steps(family, fit.levels, work / family)
    encode, forward = share.work(family, fit.levels)
    calls = {name: step for name, (step, _) in runs.items()} | {"encode": encode, "forward": forward}
    cpu: dict[str, list[float]] = {name: [] for name in calls}
    wall: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(WARM + rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            spent = share.cpu_seconds(call)
            if number >= WARM:
                cpu[name].append(spent)
                wall[name].append(time.perf_counter() - start)
        print(f"{family}: round {number} of {WARM + rounds - 1}", file=sys.stderr, flush=True)
    seconds = {name: float(np.median(values)) for name, values in cpu.items()}
    memory = {name: saved_bytes(*run) for name, run in runs.items() if not name.startswith("floor")}
    adapter = sum(4 * value.numel() for value in runs["asap_two_pass"][1].parameters() if value.requires_grad)
    memory["asap_two_pass"] += 2 * adapter
    return {
        "ratios": {
            "time_vs_diffusers": seconds["asap"] / seconds["diffusers"],
            "time_vs_diffusers_equal_memory": seconds["asap_two_pass"] / seconds["diffusers_checkpointing"],
            "time_vs_diffusers_bank": seconds["asap_bank"] / seconds["diffusers"],
            "memory_two_pass": memory["asap_two_pass"] / memory["asap"],
        },
        "encoder_share_of_a_forward": seconds["encode"] / seconds["forward"],
        "one_image_of_two": seconds["floor_one_image"] / seconds["floor"],
        "cpu_seconds": seconds,
        "cpu_seconds_all": cpu,
        "wall_seconds": {name: float(np.median(values)) for name, values in wall.items()},
        "saved_bytes": memory,
        "encoder_channels": fit.levels,
        "encoder_shares_tried": fit.tried,
        "denoiser_weights": sum(value.numel() for value in runs["diffusers"][1].parameters()),
        "picture": models.SIZES[family],
    }


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
    return f"cpu: {named[0] if named else platform.processor()}"


if __name__ == "__main__":
    sys.exit(main())
