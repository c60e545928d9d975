"""Agreement beyond chance of several raters of the same images: Krippendorff's alpha (Krippendorff 2011, nominal).

    alpha = 1 - D_o / D_e      D_o share of unequal answers within images, D_e the same if answers were dealt at random

It takes any number of raters and missing answers. Legend: U units (images), R raters, K answers.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from asap.benchmark.intervals import RESAMPLES, Estimate, cluster_index, percentile_interval, resample_counts

__all__ = ["KINDS", "agreement", "cohen_kappa", "krippendorff_alpha"]

KINDS: Final = ("votes", "raters", "members")
"""Sources of several answers behind one verdict: a model's votes on a part, people, the judges of an ensemble."""

Table = npt.NDArray[np.float64]


def krippendorff_alpha(
    answers: Sequence[Sequence[Hashable | None]],
    rng: np.random.Generator,
    clusters: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Alpha of U units with answers by R raters; n counts units that at least two answered.

    Args:
        answers: U rows of answers; None where a rater gave none.
        rng: of the bootstrap of whole clusters.
        clusters: U names; units of one name are not independent. Each unit alone if None.
        resamples: number of bootstrap resamples.

    Returns:
        No number where fewer than two units were answered twice, or where one and the same answer was given throughout.
    """
    rows, names = [], []
    known = sorted({answer for row in answers for answer in row if answer is not None}, key=repr)
    place = {answer: column for column, answer in enumerate(known)}
    for unit, row in enumerate(answers):
        given = [place[answer] for answer in row if answer is not None]
        if len(given) >= 2:
            rows.append(np.bincount(given, minlength=len(known)))
            names.append(str(unit) if clusters is None else clusters[unit])
    if len(rows) < 2 or (np.sum(rows, axis=0) > 0).sum() < 2:
        return Estimate.none(len(rows))
    table = np.asarray(rows, dtype=np.float64)
    value = float(_alpha(_terms(table).sum(axis=0)[None])[0])
    index = cluster_index(names)
    groups = int(index.max()) + 1
    terms = np.stack([np.bincount(index, weights=column, minlength=groups) for column in _terms(table).T], axis=1)
    sums = np.concatenate([counts @ terms for counts in resample_counts(groups, rng, resamples)])
    alphas = _alpha(sums)
    alphas = alphas[~np.isnan(alphas)]
    low, high = percentile_interval(alphas) if len(alphas) else (-1.0, 1.0)
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=len(rows))


def cohen_kappa(answers: Sequence[Sequence[Hashable | None]]) -> float | None:
    """Cohen's kappa of two raters (Cohen 1960); of more, the mean over pairs of raters (Light 1971).

    Args:
        answers: U rows of answers, one per rater; None where a rater gave none.

    Returns:
        None where no two raters answered the same unit, or where they gave one and the same answer throughout.
    """
    found = []
    for first, second in combinations(zip(*answers, strict=True), 2):
        both = [pair for pair in zip(first, second, strict=True) if None not in pair]
        counts = [Counter(side) for side in zip(*both, strict=True)] or [Counter(), Counter()]
        chance = sum(counts[0][answer] * counts[1][answer] for answer in counts[0]) / max(len(both), 1) ** 2
        if both and chance < 1:
            found.append((sum(one == other for one, other in both) / len(both) - chance) / (1 - chance))
    return sum(found) / len(found) if found else None


def agreement(details: Sequence[tuple[str, Mapping[str, Any]]], rng: np.random.Generator) -> dict[str, Any]:
    """Alpha among the answers behind the verdicts, by ``KINDS``, where there are several.

    Args:
        details: each verdict's prompt, and its ``Verdict.details``.
        rng: of the bootstrap of whole prompts.

    Returns:
        For each kind that occurs the estimate's plain values, and ``by``: who answered, or how many.
    """
    found: dict[str, Any] = {}
    votes = [(prompt, row["outcomes"]) for prompt, one in details for row in one.get("votes", ())]
    if asked := max((len(row) for _, row in votes), default=0):
        answers = [[None if answer == "error" else answer for answer in row] for _, row in votes]
        alpha = krippendorff_alpha(answers, rng, [prompt for prompt, _ in votes])
        found["votes"] = {**alpha.to_json(), "by": [f"{asked} votes on a part"]}
    for kind in ("raters", "members"):
        answered = [(prompt, one[kind]) for prompt, one in details if one.get(kind)]
        if (names := sorted({name for _, row in answered for name in row})) and len(names) > 1:
            alpha = krippendorff_alpha(
                [[row.get(name) for name in names] for _, row in answered], rng, [prompt for prompt, _ in answered]
            )
            found[kind] = {**alpha.to_json(), "by": names}
    return found


def _terms(table: Table) -> Table:
    """(U, 1 + K) for each unit of counts (U, K): unequal ordered pairs over (answers - 1), and the counts."""
    total = table.sum(axis=1)
    unequal = (total**2 - (table**2).sum(axis=1)) / (total - 1)
    return np.column_stack([unequal, table])


def _alpha(sums: Table) -> Table:
    """(S,) alpha of summed terms (S, 1 + K); NaN where all answers are equal."""
    counts = sums[:, 1:]
    total = counts.sum(axis=1)
    expected = total**2 - (counts**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected > 0, 1 - (total - 1) * sums[:, 0] / expected, np.nan)
