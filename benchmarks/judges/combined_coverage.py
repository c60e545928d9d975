"""How often the interval of judge and ratings together holds the true rate, over judges from useless to perfect.

    python benchmarks/judges/combined_coverage.py --runs 1000

Each run draws prompts with rates of their own, images, ratings of some prompts and a judge's scores, and asks
``benchmark.prediction_powered.combine`` for the rate. A cell passes when its coverage lies within 93 to 97 %, give or
take the simulation's own error (three standard errors). The type-I error is that of the paired difference of two equal
models, which should exclude 0 in 5 % of runs.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
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
        found = combine(ratings[0], scores[0], names)
        low, high = found.best.ci or (0.0, 1.0)
        held += low <= truth <= high
        width += high - low
        alone += np.ptp(found.rated.ci or (0.0, 1.0))
        change = combine(ratings[1] - ratings[0], scores[1] - scores[0], names, span=(-1.0, 1.0)).best.ci
        wrong += change is not None and not change[0] <= 0 <= change[1]
    return {"coverage": held / runs, "type_1": wrong / runs, "width": width / runs, "rated_alone": alone / runs}


def main() -> int:
    """Print one line of JSON per cell; 1 when a cell is out of bounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="studies per cell (1000)")
    parser.add_argument("--judge", choices=JUDGES, action="append", help="only these")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation (0)")
    asked = parser.parse_args()
    slack, bad = 3 * math.sqrt(0.05 * 0.95 / asked.runs), 0
    for judge in asked.judge or JUDGES:
        for rate in RATES:
            for name, study in STUDIES.items():
                found = one_cell(JUDGES[judge], rate, study, asked.runs, asked.seed)
                ok = BOUNDS[0] - slack <= found["coverage"] <= BOUNDS[1] + slack and found["type_1"] <= 0.07 + slack
                bad += not ok
                print(json.dumps({"judge": judge, "rate": rate, "study": name, **found, "ok": ok}), flush=True)
    print(f"{bad} cells out of bounds", file=sys.stderr)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
