"""Which products and layers are faster on this processor: CPU seconds of a forward and backward of some images.

    OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 python -m benchmarks.align.products

Layers of peft as the peer has them, our lean layers (``asap.align.lean``) in diffusers' own blocks, and our layers and
blocks (``asap.align.blocks``; SDXL's alone differ) with the BLAS of torch and with oneDNN (``asap.align.products``), on
the small models of ``benchmarks.align``, in turn in one process. Prints one JSON line with the median and the lowest of
each, and the median of the rounds' ratios of the last to the lean layers.
"""

import argparse
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from benchmarks.align import models, share
from benchmarks.align.run import RANK
from diffusers.models.attention import BasicTransformerBlock
from peft import LoraConfig

from asap.align import products
from asap.align.adapters import add_lora
from asap.backbones.pipeline import PipelineBackbone


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", nargs="+", default=["sdxl", "flux"], metavar="NAME", help="sdxl flux")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds that are counted (5)")
    parser.add_argument("--pictures", type=int, default=2, metavar="N", help="in one forward (2)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = {family: measure(family, given.rounds, given.pictures) for family in given.families}
    how = {"instructions": torch.backends.cpu.get_cpu_capability(), "rounds": given.rounds, "pictures": given.pictures}
    print(json.dumps({**how, **found}))


def measure(family: str, rounds: int, pictures: int) -> dict[str, Any]:
    """Median and lowest CPU seconds of each way, and the ratio of the last to the lean layers."""
    usual = products.ASKED
    theirs, apart, ours = (models.build(family, share.START) for _ in range(3))
    theirs.denoiser.requires_grad_(False)
    theirs.denoiser.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=list(theirs.lora_targets)))
    for backbone in (apart, ours):
        add_lora(backbone, rank=RANK, alpha=None, seed=0)
    for module in apart.denoiser.modules():
        if type(module) is BasicTransformerBlock:
            vars(module).pop("forward", None)
    calls = {
        "peft": step(family, theirs, pictures),
        "lean": asking(usual, step(family, apart, pictures)),
        "blas": asking(False, step(family, ours, pictures)),
        "onednn": asking(True, step(family, ours, pictures)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            taken = share.cpu_seconds(call)
            if number:  # the first round is for caches
                seconds[name].append(taken)
    told = {
        name: {"median": round(float(np.median(all_)), 2), "lowest": round(min(all_), 2)}
        for name, all_ in seconds.items()
    }
    ratio = float(np.median(np.divide(seconds["onednn" if usual else "blas"], seconds["lean"])))
    return {**told, "ours_to_lean": round(ratio, 3)}


def step(family: str, backbone: PipelineBackbone, pictures: int) -> Callable[[], object]:
    """Forward and backward of the adapter's weights."""
    size = models.SIZES[family]
    rows, times = torch.randn(pictures, *backbone.latent_size(size, size)), torch.full((pictures,), 0.4)
    condition = models.embed(family, backbone, [models.CAPTIONS[0]]).repeat(pictures)
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
