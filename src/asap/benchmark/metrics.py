"""The metrics of the benchmark: anatomy error rate, relative strength, and the paired difference of two models.

Each metric takes outcomes (``update``) and returns a number with an interval (``compute``). An outcome has its prompt
and seed; ``fails`` is None where the judge could not score, and such outcomes are counted but not averaged.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from asap.benchmark.intervals import Estimate, cluster_index, percentile_interval, ratio, ratio_resamples, wilson
from asap.core.errors import InputError

__all__ = [
    "MAX_ERRORS",
    "ErrorRate",
    "Outcome",
    "PairedDifference",
    "PairedResult",
    "PromptRates",
    "Rate",
    "Strength",
    "StrengthResult",
    "clustered_mcnemar",
    "mcnemar",
    "sign_test",
    "strength",
    "too_many_errors",
]

MAX_ERRORS: Final = 0.05
"""Share of images with a failed or unparsable verdict above which no rate is given."""
EXACT: Final = 16
"""Prompts with a difference up to which the paired test goes through all signs."""
Vector = npt.NDArray[np.float64]
UNDEFINED: Final = "undefined: the model lost no image and tied none, so (lose + tie) is 0"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The judge's verdict on one image."""

    prompt: str
    """Id of the prompt: the cluster."""
    seed: int
    fails: bool | None
    """True: wrong anatomy; None: not scored."""
    error: bool = False
    """Not scored because the judge failed: no reply, or one that cannot be read. Never a pass."""

    @property
    def key(self) -> tuple[str, int]:
        """What pairs it with the same prompt and seed of another model."""
        return self.prompt, self.seed


def too_many_errors(outcomes: Iterable[Outcome]) -> str:
    """Why there is no rate, when the judge failed on more than ``MAX_ERRORS`` of the images; else empty."""
    rows = list(outcomes)
    errors = sum(row.error for row in rows)
    if not rows or errors / len(rows) <= MAX_ERRORS:
        return ""
    return (
        f"no rate: the judge failed on {errors} of {len(rows)} images, more than {MAX_ERRORS:.0%}; "
        "see the verdicts' reasons and judge these again"
    )


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A share of images: clustered interval, Wilson's interval as if images were independent, and what is missing."""

    estimate: Estimate
    wilson: Estimate
    count: int
    unscored: int
    """Images without a verdict, ``errors`` among them."""
    errors: int = 0
    note: str = ""
    """Why there is no number."""

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        flat = self.wilson.to_json()["ci"]
        counts = {"count": self.count, "unscored": self.unscored, "errors": self.errors, "note": self.note}
        return {**self.estimate.to_json(), "ci_wilson": flat, **counts}


@dataclass(frozen=True, kw_only=True)
class PromptRates:
    """The error rate with prompts as the unit."""

    mean: Estimate
    """Mean over prompts of the share of their images that fail: a prompt counts once however many images it has."""
    ever: Estimate
    """Share of prompts of which at least one image fails."""
    always: Estimate
    """Share of prompts of which every scored image fails."""

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {"mean": self.mean.to_json(), "ever": self.ever.to_json(), "always": self.always.to_json()}


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

        Where all images agree, resampling shows no uncertainty, so Wilson's interval is used.
        """
        scored = [row for row in self.outcomes if row.fails is not None]
        fails = np.array([bool(row.fails) for row in scored], dtype=np.float64)
        count, note = int(fails.sum()), too_many_errors(self.outcomes)
        flat = Estimate.none(len(scored)) if note else wilson(count, len(scored))
        estimate = flat
        if not note and 0 < count < len(scored):
            estimate = ratio(fails, np.ones_like(fails), [row.prompt for row in scored], rng)
        return Rate(
            estimate=estimate,
            wilson=flat,
            count=count,
            unscored=len(self.outcomes) - len(scored),
            errors=sum(row.error for row in self.outcomes),
            note=note,
        )

    def by_prompt(self, rng: np.random.Generator) -> PromptRates:
        """The same by prompt; no numbers where ``compute`` has none."""
        groups: dict[str, list[bool]] = {}
        for row in self.outcomes:
            if row.fails is not None:
                groups.setdefault(row.prompt, []).append(row.fails)
        if too_many_errors(self.outcomes) or not groups:
            empty = Estimate.none(len(groups))
            return PromptRates(mean=empty, ever=empty, always=empty)
        shares = np.array([sum(group) / len(group) for group in groups.values()])
        ever, always = int((shares > 0).sum()), int((shares == 1).sum())
        mixed = 0 < shares.sum() < len(shares)
        return PromptRates(
            mean=ratio(shares, np.ones_like(shares), list(groups), rng) if mixed else wilson(ever, len(shares)),
            ever=wilson(ever, len(shares)),
            always=wilson(always, len(shares)),
        )


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
    """RSI with its counts; ``note`` is the reason why there is no number."""

    estimate: Estimate
    win: int
    tie: int
    lose: int
    win_rate: Estimate
    """win / (win + lose), ties left out; 0.5 is parity; its n counts what was not tied."""
    note: str = ""

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        counts = {"win": self.win, "tie": self.tie, "lose": self.lose, "note": self.note}
        return {**self.estimate.to_json(), **counts, "win_rate": self.win_rate.to_json()}


def strength(votes: npt.ArrayLike, prompts: list[str], rng: np.random.Generator) -> StrengthResult:
    """RSI of votes: 1 win, 0 tie, -1 lose, whether from verdicts of single images or from a pairwise judge."""
    cast = np.asarray(votes, dtype=np.int64)
    win, tie, lose = (int((cast == vote).sum()) for vote in (1, 0, -1))
    decided = cast != 0
    if 0 < win < win + lose:
        names = [prompt for prompt, keep in zip(prompts, decided, strict=True) if keep]
        rate = ratio(cast[decided] > 0, np.ones(win + lose), names, rng)
    else:
        rate = wilson(win, win + lose)
    if lose + tie == 0:
        note = UNDEFINED if len(cast) else "undefined: no image was scored for both models"
        none = Estimate.none(len(cast))
        return StrengthResult(estimate=none, win=win, tie=tie, lose=lose, win_rate=rate, note=note)
    estimate = ratio(cast >= 0, cast <= 0, prompts, rng)
    return StrengthResult(estimate=estimate, win=win, tie=tie, lose=lose, win_rate=rate)


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
        votes = [int(bool(base.fails)) - int(bool(model.fails)) for model, base in pairs]
        return strength(votes, [model.prompt for model, _ in pairs], rng)


def mcnemar(only_model: int, only_base: int) -> float:
    """Exact two-sided p-value of McNemar's test (binomial on the discordant images); 1 when there are none."""
    n = only_model + only_base
    return float(stats.binomtest(only_model, n).pvalue) if n else 1.0


def clustered_mcnemar(differences: npt.ArrayLike, prompts: Iterable[str]) -> float:
    """Two-sided p-value of McNemar's test for images in clusters (Durkalski et al. 2003); 1 when nothing differs.

    With d the mean difference of a prompt's images, (sum d)**2 / sum d**2 is chi-squared with one degree of freedom
    when the two models are equal; with one image a prompt it is McNemar's own statistic. Up to ``EXACT`` prompts that
    differ, the statistic is compared with what all signs of their differences give.

    Args:
        differences: (N,) -1, 0 or 1: fails(model) - fails(base).
        prompts: N names.
    """
    values = np.asarray(differences, dtype=np.float64)
    if not len(values):
        return 1.0
    index = cluster_index(prompts)
    return float(sign_test(np.bincount(index, weights=values) / np.bincount(index)))


def sign_test(means: npt.ArrayLike) -> Vector:
    """Two-sided p-value of prompts' mean differences, see ``clustered_mcnemar``; 1 where none differs.

    Args:
        means: (..., G) in [-1, 1].
    """
    values = np.asarray(means, dtype=np.float64)
    total, squares = values.sum(axis=-1), (values**2).sum(axis=-1)
    found = np.asarray(stats.chi2.sf(total**2 / np.where(squares > 0, squares, 1), 1))
    for place in np.argwhere(np.count_nonzero(values, axis=-1) <= EXACT):
        row = values[tuple(place)]
        found[tuple(place)] = _exact_sign_test(row[row != 0])
    return found


def _exact_sign_test(means: Vector) -> float:
    """Share of all signs of ``means`` (K,) whose sum is as far from 0 as theirs."""
    signs = 1 - 2 * ((np.arange(1 << len(means))[:, None] >> np.arange(len(means))) & 1)
    return float(np.mean(np.abs(signs @ means) >= abs(means.sum()) - 1e-12))


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
    p_clustered: float
    """McNemar by prompt: the test to report when a prompt has several images."""
    p_bootstrap: float
    """Share of resamples of whole prompts that lie as far from the difference as the difference lies from 0."""

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "difference": self.difference.to_json(),
            "relative_reduction": self.relative.to_json(),
            "only_model": self.only_model,
            "only_base": self.only_base,
            "mcnemar_p": self.p_value,
            "mcnemar_p_clustered": self.p_clustered,
            "bootstrap_p": self.p_bootstrap,
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
        difference, p_bootstrap = _difference(ours - theirs, clusters, rng)
        return PairedResult(
            difference=difference,
            relative=_relative(ours, theirs, clusters, rng),
            only_model=only_model,
            only_base=only_base,
            p_value=mcnemar(only_model, only_base),
            p_clustered=clustered_mcnemar(ours - theirs, clusters),
            p_bootstrap=p_bootstrap,
        )


def _difference(change: Vector, clusters: list[str], rng: np.random.Generator) -> tuple[Estimate, float]:
    """Mean of ``change`` (N,) with its interval, and the two-sided p-value of the same resamples.

    That is the share of resamples as far from the mean as the mean is from 0 (Davison & Hinkley 1997, section 4.4).
    """
    if not len(change):
        return Estimate.none(), 1.0
    value, resampled = float(change.mean()), ratio_resamples(change, np.ones_like(change), clusters, rng)
    low, high = percentile_interval(resampled)
    extreme = int((np.abs(resampled - value) >= abs(value) - 1e-12).sum())
    return Estimate(value=value, low=low, high=high, n=len(change)), (1 + extreme) / (1 + len(resampled))


def _relative(
    ours: Vector,
    theirs: Vector,
    clusters: list[str],
    rng: np.random.Generator,
) -> Estimate:
    """1 - sum(ours) / sum(theirs), no number when the base fails nothing."""
    if theirs.sum() == 0:
        return Estimate.none(len(ours))
    low, high = percentile_interval(1 - ratio_resamples(ours, theirs, clusters, rng))
    return Estimate(value=float(1 - ours.sum() / theirs.sum()), low=low, high=high, n=len(ours))
