"""The corrected error rate's interval: each rate is refused in 5 % of cases, however weak the judge."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from asap.benchmark.correction import Plane, Share, corrected_interval, misfit, posterior

LEVEL = 0.95


Posterior = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def judge(se: float, sp: float, n: int = 200) -> tuple[Posterior, Posterior]:
    """Measured on ``n`` images of each kind."""
    return posterior(se * n, n), posterior(sp * n, n)


def by_hand(x: float, rate: Share, se: Share, sp: Share) -> float:
    """The same by brute force: all places of the point across the ray, and the best of many rays for each."""
    (p, var_p), (a, var_a), (b, var_b) = ([float(np.asarray(part)) for part in share] for share in (rate, se, sp))
    covariance = np.array([[var_p + var_b, var_b], [var_b, var_a + var_b]])
    white = np.linalg.inv(np.linalg.cholesky(covariance))
    rays = white @ np.array([np.linspace(0, 1, 4001), np.ones(4001)])
    rays /= np.linalg.norm(rays, axis=0)
    own = white @ np.array([x, 1.0])
    own /= np.linalg.norm(own)
    normal = np.array([-own[1], own[0]])
    point = white @ np.array([p + b - 1, a + b - 1])
    across = np.append(np.linspace(-7, 7, 3001), normal @ point)
    points = (own @ point) * own[:, None] + across * normal[:, None]
    length = (points**2).sum(axis=0)
    best = length - np.max(np.maximum(rays.T @ points, 0), axis=0) ** 2
    worse = length - np.maximum(own @ points, 0) ** 2 - best
    mass = stats.norm.pdf(across[:-1])
    return float(mass[worse[:-1] < worse[-1]].sum() / mass.sum())


@pytest.mark.parametrize("x", [0.02, 0.3, 0.5, 0.97])
@pytest.mark.parametrize(("se", "sp", "raw"), [(0.55, 0.55, 0.5), (0.55, 0.5, 0.52), (0.9, 0.8, 0.3), (0.6, 0.5, 0.2)])
def test_surprise_is_what_brute_force_finds(x: float, se: float, sp: float, raw: float) -> None:
    measured = ((raw, 0.0005), *judge(se, sp))
    assert float(misfit(Plane(*measured), x)) == pytest.approx(by_hand(x, *measured), abs=0.004)


@pytest.mark.parametrize("x", [0.0, 0.05, 0.4, 0.9, 1.0])
@pytest.mark.parametrize("gain", [0.02, 0.1, 0.4])
def test_a_true_rate_is_refused_as_often_as_said(x: float, gain: float) -> None:
    draw, runs = np.random.default_rng(0), 20_000
    deviations = 0.015, 0.04, 0.03
    truth = x * gain + 0.3, 0.3 + gain, 0.7
    found = [(draw.normal(mean, sd, runs), np.full(runs, sd**2)) for mean, sd in zip(truth, deviations, strict=True)]
    kept = float((misfit(Plane(*found), x) <= LEVEL).mean())
    # 0.0062 are four standard errors; a judge that may be worse than a coin (gain 0.02, se 0.05) may keep more
    assert kept > LEVEL - 0.0062
    assert kept < LEVEL + (0.0062 if gain > 0.1 else 0.05)


def test_the_interval_is_all_that_is_not_refused() -> None:
    draw, grid = np.random.default_rng(1), np.linspace(0, 1, 501)
    for _ in range(200):
        se, sp, raw = draw.uniform(0.5, 1), draw.uniform(0.5, 1), draw.uniform()
        measured = ((raw, draw.uniform(1e-5, 1e-3)), *judge(se, sp, int(draw.integers(20, 2000))))
        low, high = corrected_interval(*measured)
        kept = misfit(Plane(*measured), grid) <= LEVEL
        inside = (grid >= low) & (grid <= high)
        assert low <= high
        assert (kept == inside).all()


def test_far_from_the_ends_it_is_fiellers() -> None:
    rate, (se, sp) = (0.4, 0.0002), judge(0.9, 0.9, 1000)
    low, high = (float(end) for end in corrected_interval(rate, se, sp))
    grid = np.linspace(0, 1, 20_001)
    gap = rate[0] - grid * se[0] - (1 - grid) * (1 - sp[0])
    doubt = rate[1] + grid**2 * se[1] + (1 - grid) ** 2 * sp[1]
    fits = grid[gap**2 <= stats.norm.ppf(0.5 + LEVEL / 2) ** 2 * doubt]
    assert low == pytest.approx(fits.min(), abs=1e-4)
    assert high == pytest.approx(fits.max(), abs=1e-4)


def test_fewer_failures_than_false_alarms_explain_still_have_an_interval() -> None:
    low, high = corrected_interval((0.01, 0.00001), *judge(0.9, 0.7, 1000))
    assert low == 0
    assert 0 < high < 0.1
    low, high = corrected_interval((0.99, 0.00001), *judge(0.7, 0.9, 1000))
    assert high == 1
    assert 0.9 < low < 1


def test_many_cases_at_once_are_each_alone() -> None:
    raw, right = np.array([0.2, 0.5, 0.7]), np.array([150, 110, 190])
    low, high = corrected_interval((raw, np.full(3, 4e-4)), posterior(right, 200), posterior(right, 200))
    for place in range(3):
        alone = corrected_interval((raw[place], 4e-4), posterior(right[place], 200), posterior(right[place], 200))
        assert (float(alone[0]), float(alone[1])) == (low[place], high[place])
