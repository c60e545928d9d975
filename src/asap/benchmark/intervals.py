"""Intervals: no rate without its n and the range it may lie in.

Images of one prompt are not independent, so the bootstrap draws whole prompts (Cameron, Gelbach & Miller 2008 call it
the pairs cluster bootstrap). Legend: N observations, G clusters, R bootstrap draws.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from asap.core.errors import InputError

__all__ = ["DRAWS", "LEVEL", "Estimate", "bootstrap_sums", "cluster_index", "ratio", "ratio_draws", "spread", "wilson"]

LEVEL = 0.95
DRAWS = 2000

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number, its interval at 95 % and the count it rests on; all but ``n`` are None when there is no number."""

    value: float | None
    low: float | None
    high: float | None
    n: int

    @property
    def ci(self) -> tuple[float, float] | None:
        """The interval as a pair, or None."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    def to_json(self) -> dict[str, object]:
        """``{"value", "ci": [low, high] or None, "n"}``."""
        return {"value": self.value, "ci": None if self.ci is None else list(self.ci), "n": self.n}

    @classmethod
    def none(cls, n: int = 0) -> "Estimate":
        """No number: nothing was scored."""
        return cls(value=None, low=None, high=None, n=n)


def wilson(count: int, n: int, level: float = LEVEL) -> Estimate:
    """Wilson's score interval of a share ``count / n`` (Wilson 1927); no number when ``n`` is 0.

    Raises:
        InputError: ``count`` is not in [0, n].
    """
    if not 0 <= count <= n:
        raise InputError(f"a share needs 0 <= count <= n, got {count} of {n}")
    if n == 0:
        return Estimate.none()
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share, shrink = count / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At the ends one bound is the share itself; rounding must not push it past.
    return Estimate(value=share, low=min(share, max(0.0, centre - half)), high=max(share, min(1.0, centre + half)), n=n)


def bootstrap_sums(
    columns: npt.ArrayLike, clusters: Sequence[str], rng: np.random.Generator, draws: int = DRAWS
) -> Vector:
    """Column sums over ``draws`` resamples of whole clusters.

    Args:
        columns: (C, N) one row per quantity.
        clusters: N names; equal names belong together.
        rng: where the randomness comes from.
        draws: R.

    Returns:
        (C, R) sums; each resample has as many clusters as there are.

    Raises:
        InputError: there are no observations, or lengths differ.
    """
    values = np.atleast_2d(np.asarray(columns, dtype=np.float64))
    if not len(clusters) or values.shape[1] != len(clusters):
        raise InputError(f"bootstrap needs one cluster name per value, got {values.shape[1]} and {len(clusters)}")
    names, index = np.unique(np.asarray(clusters, dtype=object).astype(str), return_inverse=True)
    totals = np.stack([np.bincount(index, weights=row, minlength=len(names)) for row in values])
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return np.asarray(totals @ counts.T, dtype=np.float64)


def cluster_index(names: Iterable[str]) -> npt.NDArray[np.int64]:
    """(N,) number of each name's cluster, in the order of first appearance."""
    codes: dict[str, int] = {}
    return np.array([codes.setdefault(name, len(codes)) for name in names], dtype=np.int64)


def ratio_draws(
    numerator: npt.ArrayLike,
    denominator: npt.ArrayLike,
    clusters: Sequence[str],
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> Vector:
    """(<= R,) draws of sum(numerator) / sum(denominator); resamples whose denominator is 0 are left out."""
    stacked = np.stack([np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)])
    top, bottom = bootstrap_sums(stacked, clusters, rng, draws)
    return np.asarray(top[bottom != 0] / bottom[bottom != 0], dtype=np.float64)


def spread(draws: npt.ArrayLike, level: float = LEVEL) -> tuple[float, float]:
    """The central ``level`` of the draws (percentile interval)."""
    low, high = np.quantile(np.asarray(draws, dtype=np.float64), [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def ratio(
    numerator: npt.ArrayLike,
    denominator: npt.ArrayLike,
    clusters: Sequence[str],
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> Estimate:
    """sum(numerator) / sum(denominator) with its clustered bootstrap interval; n counts observations."""
    top, bottom = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    if not len(top) or bottom.sum() == 0:
        return Estimate.none(len(top))
    low, high = spread(ratio_draws(top, bottom, clusters, rng, draws))
    return Estimate(value=float(top.sum() / bottom.sum()), low=low, high=high, n=len(top))
