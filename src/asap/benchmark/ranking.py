"""Area under the ROC curve with DeLong's interval (DeLong, DeLong & Clarke-Pearson 1988), in O(n log n) by midranks."""

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from asap.benchmark.intervals import LEVEL, Estimate, wilson

__all__ = ["auroc", "midranks"]


def midranks(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """(N,) ranks from 1; ties share the mean of their ranks."""
    _, inverse, counts = np.unique(np.asarray(values, dtype=np.float64), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=np.float64)


def auroc(positive: npt.ArrayLike, negative: npt.ArrayLike, level: float = LEVEL) -> Estimate:
    """P(score of a positive > score of a negative), ties counted half; n is the number of scores on both sides.

    No number when a side is empty. When the sides are perfectly separated DeLong's variance is 0; Wilson's interval
    with the smaller side's count stands in, because a finite sample never proves perfection.
    """
    pos, neg = np.asarray(positive, dtype=np.float64), np.asarray(negative, dtype=np.float64)
    m, n = len(pos), len(neg)
    if m == 0 or n == 0:
        return Estimate.none(m + n)
    both = midranks(np.concatenate([pos, neg]))
    above = (both[:m] - midranks(pos)) / n
    below = 1 - (both[m:] - midranks(neg)) / m
    value = float(above.mean())
    variance = (above.var(ddof=1) / m if m > 1 else 0.0) + (below.var(ddof=1) / n if n > 1 else 0.0)
    if variance <= 0:
        flat = wilson(round(value * min(m, n)), min(m, n), level)
        return Estimate(value=value, low=flat.low, high=flat.high, n=m + n)
    half = NormalDist().inv_cdf(0.5 + level / 2) * math.sqrt(variance)
    return Estimate(value=value, low=max(0.0, value - half), high=min(1.0, value + half), n=m + n)
