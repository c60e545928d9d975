"""What the error rate would be if the judge made no mistakes (Rogan & Gladen 1978), with the doubt carried through.

The interval is Fieller's (1954), all rates that fit what was measured:

    T(x) = p - x se - (1 - x)(1 - sp)        has mean 0 at the true rate x, however weak the judge is
    { x in [0, 1] : T(x)**2 <= z**2 (Var p + x**2 Var se + (1 - x)**2 Var sp) }

The usual interval, a normal or bootstrap one around (p + sp - 1) / (se + sp - 1), divides by a number that may be near
0 and then covers too little or far too much. Shares enter as means of their posteriors under Jeffreys' prior, so that
"never wrong in 50 images" is not taken for "never". Var p is that of whole prompts. ``benchmarks/judges/coverage.py``
measures how often the interval holds the truth.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from asap.benchmark.intervals import LEVEL, Estimate, cluster_index
from asap.benchmark.metrics import Outcome, too_many_errors
from asap.core.errors import InputError

__all__ = ["Measured", "clustered", "correct", "fieller", "rogan_gladen"]

JEFFREYS: Final = 0.5


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

    @property
    def mean(self) -> float:
        """Mean of the posterior under Jeffreys' prior."""
        return (self.right + JEFFREYS) / (self.n + 2 * JEFFREYS)

    @property
    def variance(self) -> float:
        """Sampling variance at ``mean``."""
        return self.mean * (1 - self.mean) / (self.n + 2 * JEFFREYS)


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


def fieller(
    rate: tuple[float, float], sensitivity: Measured, specificity: Measured, level: float = LEVEL
) -> tuple[float, float]:
    """All corrected rates in [0, 1] that fit the measurements.

    Where that is two stretches (a judge that may be worse than a coin), the interval holds both. Where no rate fits
    (fewer failures than even the judge's false alarms explain), it starts at the end that fits best and is as wide as
    the doubt there.

    Args:
        rate: the raw rate and its variance.
        sensitivity: of the judge.
        specificity: of the judge.
        level: of the interval.
    """
    z2 = stats.norm.ppf(0.5 + level / 2) ** 2
    mean, variance = rate
    se, sp = sensitivity, specificity
    top, gain = mean + sp.mean - 1, se.mean + sp.mean - 1

    def fits(x: float) -> float:
        """At most 0 where x fits."""
        return float((top - x * gain) ** 2 - z2 * (variance + x**2 * se.variance + (1 - x) ** 2 * sp.variance))

    a, c = gain**2 - z2 * (se.variance + sp.variance), fits(0.0)
    b = fits(1.0) - a - c
    roots = np.roots([a, b, c])
    inside = sorted(float(root.real) for root in roots if abs(root.imag) < 1e-12 and 0 < root.real < 1)
    ends = [x for x in (0.0, 1.0) if fits(x) <= 0]
    if found := [*inside, *ends]:
        return min(found), max(found)
    low = abs(top) < abs(top - gain)
    width = math.sqrt(z2 * (variance + (sp.variance if low else se.variance))) / max(abs(gain), 1e-12)
    return (0.0, min(1.0, width)) if low else (max(0.0, 1 - width), 1.0)


def correct(outcomes: Sequence[Outcome], sensitivity: Measured, specificity: Measured) -> Estimate:
    """The corrected error rate of ``outcomes``; its interval holds the doubt of AER (by prompt), of se and of sp.

    Raises:
        InputError: the judge, as measured, is no better than a coin, or failed on too many images.
    """
    if note := too_many_errors(outcomes):
        raise InputError(note)
    scored = [row for row in outcomes if row.fails is not None]
    if not scored:
        return Estimate.none()
    fails = np.array([bool(row.fails) for row in scored], dtype=np.float64)
    value = rogan_gladen(float(fails.mean()), sensitivity.value, specificity.value)
    low, high = fieller(clustered(fails, [row.prompt for row in scored]), sensitivity, specificity)
    # The posterior means differ slightly from the measured shares; the interval must still hold the point.
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=len(scored))


def clustered(fails: npt.NDArray[np.float64], prompts: Sequence[str]) -> tuple[float, float]:
    """Mean and variance of the raw rate: Jeffreys' prior, times how much more whole prompts vary than single images.

    With few prompts the variance is enlarged as Student's t asks for; with one prompt, or where all images agree,
    images count as independent.
    """
    whole = Measured(right=int(fails.sum()), n=len(fails))
    index, share = cluster_index(prompts), whole.value
    groups = int(index.max()) + 1
    if groups < 2 or share in (0.0, 1.0):
        return whole.mean, whole.variance
    sums = np.bincount(index, weights=fails - share, minlength=groups)
    design = groups / (groups - 1) * float(sums @ sums) / (len(fails) * share * (1 - share))
    student = (stats.t.ppf(0.5 + LEVEL / 2, groups - 1) / stats.norm.ppf(0.5 + LEVEL / 2)) ** 2
    return whole.mean, float(whole.variance * design * student)
