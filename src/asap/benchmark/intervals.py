"""Estimates with confidence intervals.

Images of one prompt are not independent, so the bootstrap resamples whole prompts (Cameron, Gelbach & Miller 2008 call
it the pairs cluster bootstrap). Legend: N observations, G clusters, R resamples.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from asap.core.errors import InputError

__all__ = [
    "LEVEL",
    "RESAMPLES",
    "Estimate",
    "bootstrap_sums",
    "cluster_index",
    "percentile_interval",
    "ratio",
    "ratio_resamples",
    "resample_counts",
    "wilson",
]

LEVEL: Final = 0.95
RESAMPLES: Final = 2000
BLOCK: Final = 2**23
"""Resampled counts in memory at a time (64 MB): all 2,000 resamples of up to 4,194 clusters."""

Vector = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


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
    columns: npt.ArrayLike, clusters: Sequence[str], rng: np.random.Generator, resamples: int = RESAMPLES
) -> Vector:
    """Column sums over R resamples of whole clusters.

    Args:
        columns: (C, N) one row per quantity.
        clusters: N names; equal names belong together.
        rng: source of the randomness.
        resamples: R.

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
    return np.concatenate([totals @ counts.T for counts in resample_counts(len(names), rng, resamples)], axis=1)


def resample_counts(groups: int, rng: np.random.Generator, resamples: int = RESAMPLES) -> Iterator[Counts]:
    """How often each of ``groups`` clusters occurs in each of R resamples, in blocks of at most ``BLOCK`` counts.

    The counts do not depend on the size of the blocks.

    Yields:
        (B, G) with B resamples of G clusters each; the B sum to R.
    """
    rows = max(1, BLOCK // groups)
    for start in range(0, resamples, rows):
        yield rng.multinomial(groups, np.full(groups, 1 / groups), size=min(rows, resamples - start))


def cluster_index(names: Iterable[str]) -> npt.NDArray[np.int64]:
    """(N,) number of each name's cluster, in the order of first appearance."""
    codes: dict[str, int] = {}
    return np.array([codes.setdefault(name, len(codes)) for name in names], dtype=np.int64)


def ratio_resamples(
    numerator: npt.ArrayLike,
    denominator: npt.ArrayLike,
    clusters: Sequence[str],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Vector:
    """(<= R,) values of sum(numerator) / sum(denominator); resamples whose denominator is 0 are left out."""
    stacked = np.stack([np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)])
    top, bottom = bootstrap_sums(stacked, clusters, rng, resamples)
    return np.asarray(top[bottom != 0] / bottom[bottom != 0], dtype=np.float64)


def percentile_interval(values: npt.ArrayLike, level: float = LEVEL) -> tuple[float, float]:
    """Lower and upper end of the central ``level`` of resampled values."""
    low, high = np.quantile(np.asarray(values, dtype=np.float64), [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def ratio(
    numerator: npt.ArrayLike,
    denominator: npt.ArrayLike,
    clusters: Sequence[str],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Estimate:
    """sum(numerator) / sum(denominator) with its clustered bootstrap interval; n counts observations."""
    top, bottom = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    if not len(top) or bottom.sum() == 0:
        return Estimate.none(len(top))
    low, high = percentile_interval(ratio_resamples(top, bottom, clusters, rng, resamples))
    return Estimate(value=float(top.sum() / bottom.sum()), low=low, high=high, n=len(top))
