"""The numbers of the benchmark: anatomy error rate, relative strength, and the paired difference of two models.

Each metric is fed outcomes (``update``) and gives a number with an interval (``compute``). An outcome names its prompt
and seed; ``fails`` is None where the judge could not score, and such outcomes are counted but never averaged.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from asap.benchmark.intervals import Estimate, ratio, ratio_draws, spread, wilson
from asap.core.errors import InputError

__all__ = ["ErrorRate", "Outcome", "PairedDifference", "PairedResult", "Rate", "Strength", "StrengthResult", "mcnemar"]

UNDEFINED: Final = "undefined: the model lost no image and tied none, so (lose + tie) is 0"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the judge said of one image."""

    prompt: str
    """Id of the prompt: the cluster."""
    seed: int
    fails: bool | None
    """True: wrong anatomy; None: not scored."""

    @property
    def key(self) -> tuple[str, int]:
        """What pairs it with the same prompt and seed of another model."""
        return self.prompt, self.seed


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A share of images: clustered interval, Wilson's interval as if images were independent, and what is missing."""

    estimate: Estimate
    wilson: Estimate
    count: int
    unscored: int

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        flat = self.wilson.to_json()["ci"]
        return {**self.estimate.to_json(), "ci_wilson": flat, "count": self.count, "unscored": self.unscored}


class ErrorRate:
    """AER (arXiv:2605.25759): share of scored images that the judge fails. Range [0, 1], no unit."""

    higher_is_better: ClassVar[bool] = False

    def __init__(self) -> None:
        """Start empty."""
        self.outcomes: list[Outcome] = []

    def update(self, outcomes: Iterable[Outcome]) -> None:
        """Count more images."""
        self.outcomes.extend(outcomes)

    def compute(self, rng: np.random.Generator) -> Rate:
        """The rate with both intervals.

        Where all images agree, resampling them cannot show any doubt, so Wilson's interval stands in.
        """
        scored = [row for row in self.outcomes if row.fails is not None]
        fails = np.array([bool(row.fails) for row in scored], dtype=np.float64)
        count, unscored = int(fails.sum()), len(self.outcomes) - len(scored)
        flat = wilson(count, len(scored))
        if 0 < count < len(scored):
            estimate = ratio(fails, np.ones_like(fails), [row.prompt for row in scored], rng)
        else:
            estimate = flat
        return Rate(estimate=estimate, wilson=flat, count=count, unscored=unscored)


def _matched(model: Iterable[Outcome], base: Iterable[Outcome]) -> list[tuple[Outcome, Outcome]]:
    """Outcomes of equal prompt and seed that both models have scored.

    Raises:
        InputError: a model has one prompt and seed twice, or the two have none in common.
    """
    tables: list[dict[tuple[str, int], Outcome]] = []
    for rows in (model, base):
        table: dict[tuple[str, int], Outcome] = {}
        for row in rows:
            if row.key in table:
                raise InputError(f"prompt {row.prompt!r} with seed {row.seed} was judged twice; compare one run each")
            table[row.key] = row
        tables.append(table)
    ours, theirs = tables
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        raise InputError("the two models share no prompt and seed; generate both with the same suite and seeds")
    pairs = [(ours[key], theirs[key]) for key in shared]
    return [pair for pair in pairs if pair[0].fails is not None and pair[1].fails is not None]


@dataclass(frozen=True, kw_only=True)
class StrengthResult:
    """RSI with its counts; ``note`` says why there is no number."""

    estimate: Estimate
    win: int
    tie: int
    lose: int
    note: str = ""

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        counts = {"win": self.win, "tie": self.tie, "lose": self.lose, "note": self.note}
        return {**self.estimate.to_json(), **counts}


class Strength:
    """RSI = (win + tie) / (lose + tie) against the base model at equal prompt and seed (arXiv:2605.25759).

    A model wins an image when it passes where the base fails, loses in the opposite case, and ties otherwise: the
    vote is the judge's verdict, not a comparison of two scores. Range [0, inf), 1 is parity.
    """

    higher_is_better: ClassVar[bool] = True

    def __init__(self) -> None:
        """Start empty."""
        self.model: list[Outcome] = []
        self.base: list[Outcome] = []

    def update(self, model: Iterable[Outcome], base: Iterable[Outcome]) -> None:
        """Add outcomes of both sides; the order does not matter."""
        self.model.extend(model)
        self.base.extend(base)

    def compute(self, rng: np.random.Generator) -> StrengthResult:
        """The index; raises ``InputError`` when no prompt and seed is shared."""
        pairs = _matched(self.model, self.base)
        votes = np.array([int(bool(base.fails)) - int(bool(model.fails)) for model, base in pairs], dtype=np.int64)
        win, tie, lose = (int((votes == vote).sum()) for vote in (1, 0, -1))
        if lose + tie == 0:
            note = UNDEFINED if pairs else "undefined: no image was scored for both models"
            return StrengthResult(estimate=Estimate.none(len(pairs)), win=win, tie=tie, lose=lose, note=note)
        estimate = ratio(votes >= 0, votes <= 0, [model.prompt for model, _ in pairs], rng)
        return StrengthResult(estimate=estimate, win=win, tie=tie, lose=lose)


def mcnemar(only_model: int, only_base: int) -> float:
    """Exact two-sided p-value of McNemar's test (binomial on the discordant images); 1 when there are none."""
    n = only_model + only_base
    if n == 0:
        return 1.0
    tail = sum(math.comb(n, k) for k in range(min(only_model, only_base) + 1))
    return min(1.0, float(2 * tail / 2**n))


@dataclass(frozen=True, kw_only=True)
class PairedResult:
    """Difference of two error rates on the same prompts and seeds."""

    difference: Estimate
    """AER(model) - AER(base), in [-1, 1]; below 0 the model is better."""
    relative: Estimate
    """Share of the base's errors that are gone, 1 - AER(model) / AER(base)."""
    only_model: int
    """Images that only the model fails."""
    only_base: int
    """Images that only the base fails."""
    p_value: float
    """McNemar, exact; it takes images as independent, the interval does not."""

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "difference": self.difference.to_json(),
            "relative_reduction": self.relative.to_json(),
            "only_model": self.only_model,
            "only_base": self.only_base,
            "mcnemar_p": self.p_value,
        }


class PairedDifference(Strength):
    """AER of a model less that of its base at equal prompts and seeds, clustered by prompt."""

    higher_is_better: ClassVar[bool] = False

    def compare(self, rng: np.random.Generator) -> PairedResult:
        """Difference, relative reduction and McNemar's p; raises ``InputError`` when nothing is shared."""
        pairs = _matched(self.model, self.base)
        ours = np.array([bool(model.fails) for model, _ in pairs], dtype=np.float64)
        theirs = np.array([bool(base.fails) for _, base in pairs], dtype=np.float64)
        only_model, only_base = int((ours > theirs).sum()), int((ours < theirs).sum())
        clusters = [model.prompt for model, _ in pairs]
        return PairedResult(
            difference=ratio(ours - theirs, np.ones_like(ours), clusters, rng),
            relative=_relative(ours, theirs, clusters, rng),
            only_model=only_model,
            only_base=only_base,
            p_value=mcnemar(only_model, only_base),
        )


def _relative(
    ours: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    theirs: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    clusters: list[str],
    rng: np.random.Generator,
) -> Estimate:
    """1 - sum(ours) / sum(theirs), no number when the base fails nothing."""
    if theirs.sum() == 0:
        return Estimate.none(len(ours))
    low, high = spread(1 - ratio_draws(ours, theirs, clusters, rng))
    return Estimate(value=float(1 - ours.sum() / theirs.sum()), low=low, high=high, n=len(ours))
