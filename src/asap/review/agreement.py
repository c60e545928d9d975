"""Agreement of two reviewers beyond chance: Cohen's kappa (Cohen 1960) with a 95 % interval.

    kappa = (p_o - p_e) / (1 - p_e)      p_o share of equal answers, p_e the same for independent answers

The interval is that of a Bayesian bootstrap over clusters. Pairs of one person or photograph get one weight, sampled
from an exponential distribution, and every cell of the table has a prior of mass 1/K**2 (Perks 1947, one pair in
total). With one pair per cluster, this is the posterior of the multinomial table. Unlike the usual standard error
(Fleiss, Cohen & Everitt 1969), it does not shrink to 0 when a few pairs happen to have equal answers.

Legend: N pairs, K answers, G clusters, R samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from asap.core.seeds import generator
from asap.review.records import DECISIONS, Decision

__all__ = ["DRAWS", "LEVEL", "Agreement", "Kappa", "agreement", "cohen"]

LEVEL: Final = 0.95
DRAWS: Final = 2000

Table = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Kappa:
    """Cohen's kappa; None if all answers of both are the same one, or nothing was compared."""

    value: float | None
    """-1 to 1; 0 is chance."""
    low: float | None
    high: float | None
    observed: float | None
    """Share of equal answers, 0 to 1."""
    n: int
    """Pairs on which both answered."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Agreement of two reviewers on the pairs that both decided."""

    decision: Kappa
    """Over the three decisions."""
    labels: dict[str, Kappa]
    """For each decision, that one versus the other two."""
    error: Kappa
    """Over the error types, if both named one."""
    blind: int
    """Pairs on which at least one of the two did not see the decision of the other."""


def agreement(first: Mapping[str, Decision], second: Mapping[str, Decision], clusters: Mapping[str, str]) -> Agreement:
    """Compare two reviewers. All arguments are by uid; ``clusters`` names the person or photograph."""
    both = sorted(first.keys() & second.keys())
    one, two = ([held[uid].decision for uid in both] for held in (first, second))
    groups = [clusters[uid] for uid in both]
    named = [uid for uid in both if first[uid].error and second[uid].error]
    return Agreement(
        decision=cohen(one, two, groups),
        labels={
            label: cohen([str(said == label) for said in one], [str(said == label) for said in two], groups)
            for label in DECISIONS
        },
        error=cohen(
            [first[uid].error for uid in named],
            [second[uid].error for uid in named],
            [clusters[uid] for uid in named],
        ),
        blind=sum(first[uid].blind or second[uid].blind for uid in both),
    )


def cohen(
    first: Sequence[str], second: Sequence[str], clusters: Sequence[str], *, seed: int = 0, draws: int = DRAWS
) -> Kappa:
    """Kappa of two lists of N answers.

    Args:
        first: N answers of one reviewer.
        second: N answers of the other to the same pairs.
        clusters: N names; pairs of one name are not independent.
        seed: seed of the interval.
        draws: R.

    Raises:
        ValueError: the lengths differ.
    """
    if not len(first) == len(second) == len(clusters):
        raise ValueError(f"want as many answers as pairs, got {len(first)}, {len(second)} and {len(clusters)}")
    answers, codes = np.unique(np.asarray([*first, *second], dtype=object).astype(str), return_inverse=True)
    n, k = len(first), len(answers)
    cells = codes[:n] * k + codes[n:]
    if k < 2:
        return Kappa(value=None, low=None, high=None, observed=1.0 if n else None, n=n)
    table = np.bincount(cells, minlength=k * k).reshape(k, k)
    value = float(_kappa(table))
    names, groups = np.unique(np.asarray(clusters, dtype=object).astype(str), return_inverse=True)
    rng = generator(seed, "kappa", n, k)
    drawn = np.empty(draws)
    for draw in range(draws):
        weights = rng.standard_exponential(len(names))[groups]
        prior = rng.standard_gamma(1 / k**2, k * k)
        drawn[draw] = _kappa((np.bincount(cells, weights, k * k) + prior).reshape(k, k))
    low, high = np.quantile(drawn, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Kappa(
        value=value,
        low=min(value, float(low)),
        high=max(value, float(high)),
        observed=float(np.trace(table) / n),
        n=n,
    )


def _kappa(table: npt.NDArray[np.generic]) -> float:
    """Kappa of a (K, K) table of counts or weights; at least two answers occur, so that p_e < 1."""
    shares = np.asarray(table, dtype=np.float64) / np.sum(table)
    expected = float(shares.sum(axis=1) @ shares.sum(axis=0))
    return (float(np.trace(shares)) - expected) / (1 - expected)
