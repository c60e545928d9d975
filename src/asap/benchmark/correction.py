"""The error rate corrected for the judge's own errors (Rogan & Gladen 1978), with its confidence interval.

With p the raw rate, se and sp the judge's sensitivity and specificity, the true rate is x = u / g, where
u = p + sp - 1 and g = se + sp - 1. Both are measured, so (u, g) is a point in the plane with a confidence ellipse
around it, and each x in [0, 1] is a ray from the origin: g (x, 1) with g >= 0, a judge no worse than a coin. In units
of the ellipse, a ray at distance d along its normal is refused by Fieller (1954) where abs(d) > z. That set has the
nominal coverage, but it can be empty, and for a weak judge it can consist of two intervals; joining them into one
interval gives too much coverage near 0 and 1.

Here a ray is refused where it fits too much worse than the best ray in [0, 1] (Feldman & Cousins 1998), given how far
along itself the point lies. Under the ray's own hypothesis that length is independent of d and carries all that is
unknown, the judge's g (Moreira 2003 does the same for weak instruments), so each ray is refused in 5 % of cases for
every judge, strong or weak. The best ray is never refused, and far from 0 and 1 the result is Fieller's.

Shares enter as means of their posteriors under Jeffreys' prior, so that 0 errors in 50 images is not taken for a rate
of 0. Var p is that of whole prompts. ``benchmarks/judges/coverage.py`` measures the coverage of the interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from asap.benchmark.intervals import LEVEL, Estimate, cluster_index
from asap.benchmark.metrics import Outcome, too_many_errors
from asap.core.errors import InputError

__all__ = [
    "Measured",
    "Plane",
    "Share",
    "correct",
    "corrected_interval",
    "misfit",
    "posterior",
    "rate_of_prompts",
    "rogan_gladen",
]

JEFFREYS: Final = 0.5
HALVINGS: Final = 40
"""Steps of the search for an end of the interval: far below any digit that is printed."""
Array = npt.NDArray[np.float64]
Share = tuple[npt.ArrayLike, npt.ArrayLike]
"""A share and its variance; arrays of one shape hold many cases at once."""


def posterior(right: npt.ArrayLike, n: npt.ArrayLike) -> tuple[Array, Array]:
    """Mean of the posterior of ``right`` in ``n`` under Jeffreys' prior, and the sampling variance at that mean."""
    size = np.asarray(n, dtype=np.float64) + 2 * JEFFREYS
    mean = np.asarray((np.asarray(right, dtype=np.float64) + JEFFREYS) / size)
    return mean, np.asarray(mean * (1 - mean) / size)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Sensitivity or specificity as measured on images of known truth: ``right`` of ``n``."""

    right: int
    n: int

    @property
    def value(self) -> float:
        """The share that was right; raises ``InputError`` when nothing was measured."""
        if not 0 <= self.right <= self.n or self.n == 0:
            raise InputError(f"a measured rate needs 0 <= right <= n and n > 0, got {self.right} of {self.n}")
        return self.right / self.n


def rogan_gladen(rate: float, sensitivity: float, specificity: float) -> float:
    """(rate + sp - 1) / (se + sp - 1), clipped to [0, 1].

    Raises:
        InputError: se + sp <= 1: such a judge is no better than a coin and nothing can be corrected.
    """
    if sensitivity + specificity <= 1:
        raise InputError(
            f"the judge's sensitivity {sensitivity:.3f} and specificity {specificity:.3f} sum to no more than 1; "
            "its rates cannot be corrected, train or calibrate a better judge"
        )
    return min(1.0, max(0.0, (rate + specificity - 1) / (sensitivity + specificity - 1)))


class Plane:
    """Measured points (u, g), whitened by their uncertainty: angles are from the ray x = 0 and grow with x."""

    def __init__(self, rate: Share, sensitivity: Share, specificity: Share) -> None:
        """Whiten the points of any number of cases."""
        (p, var_p), (se, var_se), (sp, var_sp) = [
            [np.asarray(part, dtype=np.float64) for part in share] for share in (rate, sensitivity, specificity)
        ]
        self._var_g = var_se + var_sp
        self._slope = var_sp / self._var_g
        self._scale = np.sqrt(var_p + var_se * self._slope)
        across, along = self._whitened(p + sp - 1, se + sp - 1)
        self._origin = np.arctan2(*self._whitened(0.0, 1.0))
        self.length = np.hypot(across, along)
        # Rays of [0, 1] lie within half a turn, so the point's angle is taken within half a turn of their middle.
        self.last = self.angle(1.0)
        turn = np.arctan2(across, along) - self._origin - self.last / 2
        self.point = np.arctan2(np.sin(turn), np.cos(turn)) + self.last / 2

    def _whitened(self, u: npt.ArrayLike, g: npt.ArrayLike) -> tuple[Array, Array]:
        """(u less what g foretells of it, g), each over its standard deviation."""
        return np.asarray((u - self._slope * np.asarray(g)) / self._scale), np.asarray(g / np.sqrt(self._var_g))

    def angle(self, x: npt.ArrayLike) -> Array:
        """Of the ray x."""
        return np.asarray(np.arctan2(*self._whitened(x, 1.0)) - self._origin)

    def best(self) -> Array:
        """The rate in [0, 1] whose ray is nearest to the point."""
        angle = np.clip(self.point, 0, self.last) + self._origin
        return np.asarray(np.clip(np.tan(angle) * self._scale / np.sqrt(self._var_g) + self._slope, 0, 1))


def _reach(along: Array, edge: Array, worse: Array) -> Array:
    """How far to one side of a ray a point may lie to fit it at most ``worse`` worse than the best ray.

    Args:
        along: the point's place along the ray; below 0 the ray's own end, the origin, is what is nearest to it.
        edge: angle to the last ray on that side, in [0, pi / 2).
        worse: difference of squared distances, at least 0.
    """
    sine, cosine, root = np.sin(edge), np.cos(edge), np.sqrt(worse)
    with np.errstate(divide="ignore", invalid="ignore"):
        beyond = np.where(along > 0, np.sqrt(along**2 + worse), root) - along * cosine
        beyond = np.where(sine > 0, beyond / sine, np.inf)
    return np.where((along > 0) & (root <= along * np.tan(edge)), root, beyond)


def misfit(plane: Plane, x: npt.ArrayLike) -> Array:
    """Probability that a true rate ``x`` would fit the measurement better than it does; above the level, x is rejected.

    Uniform in [0, 1] at the true rate, except where x is the best rate: there it is 0.
    """
    angle = plane.angle(x)
    turn = plane.point - angle
    along, across = plane.length * np.cos(turn), plane.length * np.sin(turn)
    outside = plane.point - np.clip(plane.point, 0, plane.last)
    own = np.where(along > 0, across**2, plane.length**2)
    nearest = np.where(np.cos(outside) > 0, (plane.length * np.sin(outside)) ** 2, plane.length**2)
    worse = np.maximum(own - nearest, 0)
    up, down = _reach(along, plane.last - angle, worse), _reach(along, angle, worse)
    return np.where(worse > 0, special.ndtr(up) - special.ndtr(-down), 0.0)


def corrected_interval(
    rate: Share, sensitivity: Share, specificity: Share, level: float = LEVEL
) -> tuple[Array, Array]:
    """Lowest and highest rate in [0, 1] that fits what was measured, around the one that fits best."""
    plane = Plane(rate, sensitivity, specificity)
    best = plane.best()
    ends = []
    for end in (0.0, 1.0):
        rejected, inside = np.full_like(best, end), best
        whole = misfit(plane, rejected) <= level
        for _ in range(HALVINGS):
            middle = (rejected + inside) / 2
            fits = misfit(plane, middle) <= level
            rejected, inside = np.where(fits, rejected, middle), np.where(fits, middle, inside)
        ends.append(np.where(whole, end, inside))
    return ends[0], ends[1]


def correct(
    outcomes: Sequence[Outcome], sensitivity: Measured, specificity: Measured, *, by_prompt: bool = False
) -> Estimate:
    """The corrected error rate of ``outcomes``; its interval covers the uncertainty of AER (by prompt), se and sp.

    Args:
        outcomes: of one model.
        sensitivity: of the judge.
        specificity: of the judge.
        by_prompt: the mean of prompts' own rates, each counting once; ``n`` counts prompts then.

    Raises:
        InputError: the judge, as measured, is no better than a coin, or failed on too many images.
    """
    if note := too_many_errors(outcomes):
        raise InputError(note)
    scored = [row for row in outcomes if row.fails is not None]
    if not scored:
        return Estimate.none()
    fails = np.array([bool(row.fails) for row in scored], dtype=np.float64)
    index = cluster_index(row.prompt for row in scored)
    sums, sizes = np.bincount(index, weights=fails), np.bincount(index).astype(np.float64)
    if by_prompt:
        even = np.full(len(sizes), len(fails) / len(sizes))
        sums, sizes = sums / sizes * even, even
    value = rogan_gladen(float(sums.sum() / sizes.sum()), sensitivity.value, specificity.value)
    rate = rate_of_prompts(sums, sizes)
    se, sp = (posterior(found.right, found.n) for found in (sensitivity, specificity))
    low, high = (float(end) for end in corrected_interval(rate, se, sp))
    # The posterior means differ slightly from the measured shares; the interval must still hold the point.
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=len(sizes) if by_prompt else len(scored))


def rate_of_prompts(sums: npt.ArrayLike, sizes: npt.ArrayLike) -> tuple[Array, Array]:
    """Mean and variance of the raw rate: Jeffreys' prior, times how much more whole prompts vary than single images.

    With few prompts the variance is enlarged as Student's t asks for; with one prompt, or where all images agree,
    images count as independent.

    Args:
        sums: (..., G) images that fail, by prompt.
        sizes: (G,) images of each prompt.
    """
    fails, sizes = np.asarray(sums, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    total, right, groups = sizes.sum(), fails.sum(axis=-1), len(sizes)
    mean, variance = posterior(right, total)
    share = right / total
    flat = total * share * (1 - share)
    if groups < 2:
        return mean, variance
    scatter = ((fails - share[..., None] * sizes) ** 2).sum(axis=-1) * groups / (groups - 1)
    student = (stats.t.ppf(0.5 + LEVEL / 2, groups - 1) / stats.norm.ppf(0.5 + LEVEL / 2)) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        design = np.where(flat > 0, scatter / flat * student, 1.0)
    return mean, np.asarray(variance * design)
