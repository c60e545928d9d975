"""Which library multiplies faster on this processor: CPU seconds of a forward and backward of two pictures.

    OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 python -m benchmarks.align.products

Layers of peft as the peer has them, our lean layers with the BLAS of torch, and with oneDNN (``asap.align.products``),
on the small models of ``benchmarks.align``, in turn in one process. Prints one JSON line with the median and the
lowest of each.
"""

import argparse
import json
from collections.abc import Callable

import numpy as np
import torch
from benchmarks.align import models, share
from benchmarks.align.run import RANK
from peft import LoraConfig

from asap.align import products
from asap.align.adapters import add_lora
from asap.backbones.pipeline import PipelineBackbone


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", nargs="+", default=["sdxl", "flux"], metavar="NAME", help="sdxl flux")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds that are counted (5)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = {family: measure(family, given.rounds) for family in given.families}
    print(json.dumps({"instructions": torch.backends.cpu.get_cpu_capability(), "rounds": given.rounds, **found}))


def measure(family: str, rounds: int) -> dict[str, dict[str, float]]:
    """Median and lowest CPU seconds of each way."""
    theirs, ours = (models.build(family, share.START) for _ in range(2))
    theirs.denoiser.requires_grad_(False)
    theirs.denoiser.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=list(theirs.lora_targets)))
    add_lora(ours, rank=RANK, alpha=None, seed=0)
    calls = {
        "peft": step(family, theirs),
        "blas": asking(False, step(family, ours)),
        "onednn": asking(True, step(family, ours)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            taken = share.cpu_seconds(call)
            if number:  # the first round is for caches
                seconds[name].append(taken)
    return {
        name: {"median": round(float(np.median(all_)), 2), "lowest": round(min(all_), 2)}
        for name, all_ in seconds.items()
    }


def step(family: str, backbone: PipelineBackbone) -> Callable[[], object]:
    """Forward and backward of the adapter's weights."""
    size = models.SIZES[family]
    rows, times = torch.randn(2, *backbone.latent_size(size, size)), torch.full((2,), 0.4)
    condition = models.embed(family, backbone, [models.CAPTIONS[0]]).repeat(2)
    weights = [value for value in backbone.denoiser.parameters() if value.requires_grad]

    def run() -> object:
        return torch.autograd.grad(backbone.denoise(rows, times, condition).square().mean(), weights)

    return run


def asking(onednn: bool, run: Callable[[], object]) -> Callable[[], object]:
    """``run`` with or without oneDNN."""

    def asked() -> object:
        vars(products)["ASKED"] = onednn  # a constant of the processor for everybody else
        return run()

    return asked


if __name__ == "__main__":
    main()
