"""How often the interval of judge and ratings together holds the true rate, over judges from useless to perfect.

    python benchmarks/judges/combined_coverage.py --runs 1000

Each run draws prompts with rates of their own, images of two equal models, ratings of some prompts and a judge's
scores, and asks ``benchmark.prediction_powered.combine`` for the rate and for the paired difference. Coverage should be
95 %, and lie within 93 to 97 % in every cell. The type-I error is the share of runs whose paired difference excludes 0;
it should be 5 %. Of 1,000 runs with a true 95 %, four in a thousand cells lie outside 93 to 97 % by chance.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.special import expit, logit

from asap.benchmark.prediction_powered import combine, recalibrate

Array = npt.NDArray[np.float64]
Judge = Callable[[Array, np.random.Generator], Array]
JUDGES: dict[str, Judge] = {
    "useless": lambda y, rng: rng.random(y.shape),
    "opposite": lambda y, rng: expit(-1.0 * (2 * y - 1) + rng.normal(size=y.shape)),
    "weak": lambda y, rng: expit(0.5 * (2 * y - 1) + 1.5 * rng.normal(size=y.shape)),
    "good": lambda y, rng: expit(1.5 * (2 * y - 1) + rng.normal(size=y.shape)),
    "binary": lambda y, rng: (rng.random(y.shape) < np.where(y == 1, 0.8, 0.25)).astype(np.float64),
    "perfect": lambda y, rng: y.copy(),
}
STUDIES = {"small": (120, 1, 40), "seeds": (120, 2, 60), "suite": (500, 1, 120)}
"""Prompts, images per prompt, rated prompts."""
RATES = (0.1, 0.3, 0.6)
SPREAD = 1.0
"""Standard deviation of prompts' log-odds."""
BOUNDS = (0.93, 0.97)


def draw(rate: float, prompts: int, seeds: int, rng: np.random.Generator, models: int = 1) -> Array:
    """Truth of ``models`` models on the same prompts, (models, prompts, seeds)."""
    own = expit(logit(rate) + SPREAD * rng.normal(size=prompts))
    return (rng.random((models, prompts, seeds)) < own[None, :, None]).astype(np.float64)


def one_cell(judge: Judge, rate: float, study: tuple[int, int, int], runs: int, seed: int) -> dict[str, float]:
    """Coverage of the headline's interval, its mean width against the ratings' alone, and the type-I error."""
    prompts, seeds, rated = study
    rng = np.random.default_rng(seed)
    truth = float(expit(logit(rate) + SPREAD * rng.normal(size=1_000_000)).mean())
    names = np.repeat(np.arange(prompts), seeds).astype(str).tolist()
    held, wrong, width, alone = 0, 0, 0.0, 0.0
    for _ in range(runs):
        both = draw(rate, prompts, seeds, rng, models=2)
        shown = np.repeat(np.isin(np.arange(prompts), rng.permutation(prompts)[:rated]), seeds)
        ratings = [np.where(shown, y.ravel(), np.nan) for y in both]
        scores = [recalibrate(r, judge(y, rng).ravel(), names, rng) for r, y in zip(ratings, both, strict=True)]
        found = combine(ratings[0], scores[0], names, calibrated=True)
        low, high = found.best.ci or (0.0, 1.0)
        held += low <= truth <= high
        width += high - low
        alone += np.ptp(found.rated.ci or (0.0, 1.0))
        changes = ratings[1] - ratings[0], scores[1] - scores[0]
        change = combine(*changes, names, span=(-1.0, 1.0), calibrated=True).best.ci
        wrong += change is not None and not change[0] <= 0 <= change[1]
    return {"coverage": held / runs, "type_1": wrong / runs, "width": width / runs, "rated_alone": alone / runs}


def table(cells: list[dict[str, Any]], runs: int) -> str:
    """Markdown: one row per judge and study, one column per rate; then what lies outside the bounds."""
    head = [f"rate {rate}" for rate in RATES]
    lines = [f"| judge | study | {' | '.join(head)} |", "|---" * (len(head) + 2) + "|"]
    for judge in dict.fromkeys(cell["judge"] for cell in cells):
        for study in STUDIES:
            row = [cell for cell in cells if cell["judge"] == judge and cell["study"] == study]
            texts = [f"{c['coverage']:.3f}, {c['type_1']:.3f}, {c['width'] / c['rated_alone']:.2f}" for c in row]
            lines.append(f"| {judge} | {study} | {' | '.join(texts)} |")
    outside = [cell for cell in cells if not BOUNDS[0] <= cell["coverage"] <= BOUNDS[1]]
    n = np.arange(runs + 1)
    chance = 1 - stats.binom.pmf(n, runs, 0.95)[(n >= BOUNDS[0] * runs) & (n <= BOUNDS[1] * runs)].sum()
    mean = np.mean([[cell["coverage"], cell["type_1"]] for cell in cells], axis=0)
    lines += [
        "",
        f"{len(cells)} cells of {runs} runs. Coverage: mean {mean[0]:.4f}, {len(outside)} cells outside 0.93 to 0.97, "
        f"{len(cells) * chance:.2g} expected by chance. Type-I error: mean {mean[1]:.4f}, at most "
        f"{max(cell['type_1'] for cell in cells):.3f}.",
    ]
    return "\n".join(lines)


def main() -> int:
    """Print one line of JSON per cell, then the table; 1 when a cell is out of bounds by more than chance explains."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="studies per cell (1000)")
    parser.add_argument("--judge", choices=JUDGES, action="append", help="only these")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation (0)")
    asked = parser.parse_args()
    cells: list[dict[str, Any]] = []
    for judge in asked.judge or JUDGES:
        for rate in RATES:
            for name, study in STUDIES.items():
                found = one_cell(JUDGES[judge], rate, study, asked.runs, asked.seed)
                cells.append({"judge": judge, "rate": rate, "study": name, **found})
                print(json.dumps(cells[-1]), file=sys.stderr, flush=True)
    print(table(cells, asked.runs))
    slack = 3 * math.sqrt(0.05 * 0.95 / asked.runs)
    return int(any(abs(cell["coverage"] - 0.95) > 0.01 + slack or cell["type_1"] > 0.05 + slack for cell in cells))


if __name__ == "__main__":
    sys.exit(main())
