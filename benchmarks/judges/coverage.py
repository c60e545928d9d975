"""How often the corrected error rate's 95 % interval holds the truth, and how often the paired test cries wolf.

    python benchmarks/judges/coverage.py [--runs 1000] [--tests 10] [--out FILE]

Judges of known sensitivity and specificity look at simulated images; prompts differ in difficulty (beta-distributed,
intraclass correlation ``--icc``), so that images of a prompt are not independent. In every run the judge is calibrated
anew on as many images as ``--calibration`` says. The functions are those that reports use.

A share of R runs strays around what is true: of R = 1000 with a true 95 %, four in a thousand cells lie outside 93 to
97 %. So the number of cells outside stands beside the number that chance alone would put there if every cell were
exact; ``--runs 20000 --tests 0`` tells the two apart.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from asap.benchmark.correction import corrected_interval, posterior, rate_of_prompts
from asap.benchmark.metrics import sign_test
from asap.core.seeds import generator

RATES: Final = (0.55, 0.65, 0.75, 0.85, 0.95, 0.99)
TRUTHS: Final = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9)
LIMITS: Final = {"coverage": (0.95, 0.93, 0.97), "false positives": (0.05, 0.04, 0.06)}
"""What each should be, and between what each must lie."""
AT_ONCE: Final = 1000
"""Runs simulated together."""
Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Design:
    """What is simulated."""

    runs: int = 1000
    tests: int = 10
    """Paired tests for each run of the interval."""
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
    """Share of p < 0.05 of the paired test between two equal models; NaN without tests."""


def chances(design: Design, truth: float, runs: int, rng: np.random.Generator) -> Array:
    """(R, G) probability of a defect of each prompt; mean ``truth``, variance icc * truth * (1 - truth)."""
    if design.icc == 0:
        return np.full((runs, design.prompts), truth)
    scale = (1 - design.icc) / design.icc
    return rng.beta(truth * scale, (1 - truth) * scale, size=(runs, design.prompts))


def failures(design: Design, chance: Array, se: float, sp: float, rng: np.random.Generator) -> Counts:
    """(R, G) images of each prompt that the judge fails: of those with a defect se, of the others 1 - sp."""
    return rng.binomial(design.images, chance * se + (1 - chance) * (1 - sp))


def cell(design: Design, se: float, sp: float, truth: float) -> Cell:
    """Simulate one cell of the grid."""
    hits, width, refused, positives = 0, 0.0, 0, 0
    for start in range(0, design.runs, AT_ONCE):
        runs = min(AT_ONCE, design.runs - start)
        rng = generator(design.seed, "coverage", f"{se} {sp} {truth}", start)
        fails = failures(design, chances(design, truth, runs, rng), se, sp, rng)
        rate = rate_of_prompts(fails, np.full(design.prompts, design.images))
        found = [rng.binomial(design.calibration, share, size=runs) for share in (se, sp)]
        low, high = corrected_interval(rate, *(posterior(right, design.calibration) for right in found))
        hits += int(((low <= truth) & (truth <= high)).sum())
        width += float((high - low).sum())
        refused += int((found[0] + found[1] <= design.calibration).sum())
        for _ in range(design.tests):
            chance = chances(design, truth, runs, rng)
            pair = [failures(design, chance, se, sp, rng) for _ in range(2)]
            positives += int((sign_test((pair[0] - pair[1]) / design.images) < 0.05).sum())
    return Cell(
        sensitivity=se,
        specificity=sp,
        truth=truth,
        coverage=hits / design.runs,
        width=width / design.runs,
        refused=refused / design.runs,
        false_positives=positives / design.runs / design.tests if design.tests else float("nan"),
    )


def grid(design: Design) -> Iterator[Cell]:
    """All cells."""
    for se, sp, truth in itertools.product(RATES, RATES, TRUTHS):
        yield cell(design, se, sp, truth)


def spoken(name: str, values: Array, n: int) -> str:
    """Least, greatest and mean of the cells; how many lie outside the limits, and how many would by chance alone.

    Args:
        name: of ``LIMITS``.
        values: (C,) shares.
        n: what each is a share of.
    """
    exact, low, high = LIMITS[name]
    outside = int(((values < low) | (values > high)).sum())
    chance = stats.binom.cdf(np.ceil(low * n - 1e-9) - 1, n, exact) + stats.binom.sf(
        np.floor(high * n + 1e-9), n, exact
    )
    return (
        f"{name} {values.min():.4f} to {values.max():.4f}, mean {values.mean():.4f}; {outside} of {len(values)} cells "
        f"outside {low} to {high}, {len(values) * chance:.2g} expected by chance if every cell were exact."
    )


def table(cells: Iterable[Cell], design: Design) -> str:
    """Markdown."""
    rows = list(cells)
    lines = [
        "| sensitivity | specificity | true AER | coverage | mean width | coin | false positives |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.sensitivity} | {row.specificity} | {row.truth} | {row.coverage:.4f} | {row.width:.3f} | "
        f"{row.refused:.3f} | {row.false_positives:.4f} |"
        for row in rows
    ]
    lines += [
        "",
        f"{len(rows)} cells of {design.runs} runs and {design.tests} paired tests a run, {design.prompts} prompts of "
        f"{design.images} images, calibrated on {design.calibration} + {design.calibration}, icc {design.icc}, seed "
        f"{design.seed}:",
        spoken("coverage", np.array([row.coverage for row in rows]), design.runs),
    ]
    if design.tests:
        wolf = np.array([row.false_positives for row in rows])
        lines.append(spoken("false positives", wolf, design.runs * design.tests))
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    for name, default in vars(Design()).items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--out", type=Path, help="also write the cells as JSON")
    arguments = vars(parser.parse_args())
    out = arguments.pop("out")
    design = Design(**arguments)
    cells = []
    for row in grid(design):
        cells.append(row)
        print(f"{len(cells)}", end=" ", file=sys.stderr, flush=True)
    print("\n" + table(cells, design))
    if out:
        out.write_text(json.dumps([vars(row) for row in cells], indent=1))


if __name__ == "__main__":
    main()
