"""How often the corrected error rate's 95 % interval holds the truth, and how often the paired test cries wolf.

    python benchmarks/judges/coverage.py [--runs 1000] [--quick] [--out FILE]

Judges of known sensitivity and specificity look at simulated images; prompts differ in difficulty (beta-distributed,
intraclass correlation ``--icc``), so that images of a prompt are not independent. In every run the judge is calibrated
anew on as many images as ``--calibration`` says. The functions are those that reports use.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asap.benchmark.correction import Measured, clustered, fieller
from asap.benchmark.metrics import clustered_mcnemar
from asap.core.seeds import generator

RATES = (0.55, 0.7, 0.85, 0.99)
TRUTHS = (0.05, 0.25, 0.5, 0.75, 0.9)
QUICK = ((0.55, 0.99), (0.55, 0.99), (0.05, 0.5, 0.9))
TEST_RUNS = 4
"""Paired tests for each run of the interval: they cost nothing, and 4 to 6 % is a narrow band."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """What is simulated."""

    runs: int = 1000
    prompts: int = 250
    images: int = 4
    """Of each prompt."""
    calibration: int = 300
    """Images with a defect, and as many without."""
    icc: float = 0.1
    """Share of the variance of the truth that lies between prompts."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What came out for one judge and one truth."""

    sensitivity: float
    specificity: float
    truth: float
    coverage: float
    width: float
    """Mean of the interval's width."""
    refused: float
    """Share of runs whose calibration says that the judge is no better than a coin, so that no point is printed."""
    false_positives: float
    """Share of p < 0.05 of the paired test between two equal models."""


def chances(design: Design, truth: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """(G,) probability of a defect of each prompt; mean ``truth``, variance icc * truth * (1 - truth)."""
    if design.icc == 0:
        return np.full(design.prompts, truth)
    scale = (1 - design.icc) / design.icc
    return rng.beta(truth * scale, (1 - truth) * scale, size=design.prompts)


def verdicts(
    design: Design, chance: npt.NDArray[np.float64], se: float, sp: float, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """(G * M,) 1 where the judge fails the image."""
    bad = rng.random((design.prompts, design.images)) < chance[:, None]
    return np.asarray(rng.random(bad.shape) < np.where(bad, se, 1 - sp), dtype=np.float64).ravel()


def cell(design: Design, se: float, sp: float, truth: float) -> Cell:
    """Simulate one cell of the grid."""
    prompts = [f"{place:05d}" for place in range(design.prompts) for _ in range(design.images)]
    hits, widths, refused, positives = 0, 0.0, 0, 0
    for run in range(design.runs):
        rng = generator(design.seed, "coverage", f"{se} {sp} {truth}", run)
        fails = verdicts(design, chances(design, truth, rng), se, sp, rng)
        found = [
            Measured(right=int(rng.binomial(design.calibration, share)), n=design.calibration) for share in (se, sp)
        ]
        low, high = fieller(clustered(fails, prompts), *found)
        hits += low <= truth <= high
        widths += high - low
        refused += found[0].value + found[1].value <= 1
        for _ in range(TEST_RUNS):
            chance = chances(design, truth, rng)
            pair = [verdicts(design, chance, se, sp, rng) for _ in range(2)]
            positives += clustered_mcnemar(pair[0] - pair[1], prompts) < 0.05
    return Cell(
        sensitivity=se,
        specificity=sp,
        truth=truth,
        coverage=hits / design.runs,
        width=widths / design.runs,
        refused=refused / design.runs,
        false_positives=positives / design.runs / TEST_RUNS,
    )


def grid(design: Design, *, quick: bool) -> Iterator[Cell]:
    """All cells, or those at the corners."""
    axes = QUICK if quick else (RATES, RATES, TRUTHS)
    for se, sp, truth in itertools.product(*axes):
        yield cell(design, se, sp, truth)


def table(cells: list[Cell], design: Design) -> str:
    """Markdown."""
    lines = [
        "| sensitivity | specificity | true AER | coverage | mean width | coin | false positives |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.sensitivity} | {row.specificity} | {row.truth} | {row.coverage:.3f} | {row.width:.3f} | "
        f"{row.refused:.3f} | {row.false_positives:.4f} |"
        for row in cells
    ]
    coverage = np.array([row.coverage for row in cells])
    wolf = np.array([row.false_positives for row in cells])
    lines += [
        "",
        f"{len(cells)} cells of {design.runs} runs, {design.prompts} prompts of {design.images} images, calibrated on "
        f"{design.calibration} + {design.calibration}, icc {design.icc}, seed {design.seed}: coverage "
        f"{coverage.min():.3f} to {coverage.max():.3f}, mean {coverage.mean():.4f}; "
        f"{int(((coverage < 0.93) | (coverage > 0.97)).sum())} cells outside 0.93 to 0.97. False positives "
        f"{wolf.min():.4f} to {wolf.max():.4f}, mean {wolf.mean():.4f}; "
        f"{int(((wolf < 0.04) | (wolf > 0.06)).sum())} cells outside 0.04 to 0.06.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    fields = {"runs": 1000, "prompts": 250, "images": 4, "calibration": 300, "icc": 0.1, "seed": 0}
    for name, default in fields.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--quick", action="store_true", help="only the corners of the grid")
    parser.add_argument("--out", type=Path, help="also write the cells as JSON")
    arguments = parser.parse_args()
    design = Design(**{name: getattr(arguments, name) for name in fields})
    cells = []
    for row in grid(design, quick=arguments.quick):
        cells.append(row)
        print(f"{len(cells)}", end=" ", file=sys.stderr, flush=True)
    print(table(cells, design))
    if arguments.out:
        arguments.out.write_text(json.dumps([vars(row) for row in cells], indent=1))


if __name__ == "__main__":
    main()
