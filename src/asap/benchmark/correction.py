"""What the error rate would be if the judge made no mistakes (Rogan & Gladen 1978), with the doubt carried through."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from asap.benchmark.intervals import DRAWS, Estimate, ratio_draws, spread
from asap.benchmark.metrics import Outcome
from asap.core.errors import InputError

__all__ = ["Measured", "correct", "rogan_gladen"]

JEFFREYS: Final = 0.5
MAX_UNUSABLE: Final = 0.025
"""Share of draws with se + sp <= 1 above which the judge is too poorly known to correct anything."""


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

    def draw(self, rng: np.random.Generator, draws: int) -> npt.NDArray[np.float64]:
        """(R,) draws of the Beta posterior under Jeffreys' prior."""
        return rng.beta(self.right + JEFFREYS, self.n - self.right + JEFFREYS, size=draws)


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


def correct(
    outcomes: Sequence[Outcome],
    sensitivity: Measured,
    specificity: Measured,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> Estimate:
    """The corrected error rate of ``outcomes``; its interval holds the doubt of AER (by prompt), of se and of sp.

    Raises:
        InputError: the judge is no better than a coin, at its measured rates or in too many draws of them.
    """
    scored = [row for row in outcomes if row.fails is not None]
    if not scored:
        return Estimate.none()
    fails = np.array([bool(row.fails) for row in scored], dtype=np.float64)
    value = rogan_gladen(float(fails.mean()), sensitivity.value, specificity.value)
    rates = _rate_draws(fails, [row.prompt for row in scored], rng, draws)
    slope_se, slope_sp = sensitivity.draw(rng, len(rates)), specificity.draw(rng, len(rates))
    gain = slope_se + slope_sp - 1
    usable = gain > 0
    if 1 - usable.mean() > MAX_UNUSABLE:
        raise InputError("the judge's error rates are too uncertain to correct with; calibrate it on more images")
    low, high = spread(np.clip((rates + slope_sp - 1)[usable] / gain[usable], 0, 1))
    # The posterior means differ slightly from the measured shares; the interval must still hold the point.
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=len(scored))


def _rate_draws(
    fails: npt.NDArray[np.float64], clusters: list[str], rng: np.random.Generator, draws: int
) -> npt.NDArray[np.float64]:
    """Draws of the raw rate: whole prompts, or Jeffreys' posterior where all images agree."""
    if 0 < fails.sum() < len(fails):
        return ratio_draws(fails, np.ones_like(fails), clusters, rng, draws)
    return Measured(right=int(fails.sum()), n=len(fails)).draw(rng, draws)
