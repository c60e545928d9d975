"""An error rate from a judge on all images and ratings on some (prediction-powered inference).

PPI++ for a mean (Angelopoulos, Duchi & Zrnic 2023, arXiv:2311.01453, Section 6): with ratings y on n images, judge
scores f on those and on N others,

    theta = mean_n(y - lambda * f) + lambda * mean_N(f)

is unbiased for every judge and every fixed lambda. ``lambda`` is chosen to give the smallest variance and clipped to
[0, 1]: 0 is the mean of the ratings alone (a useless judge), 1 trusts the judge fully. For a binary judge this is the
efficient estimator (arXiv:2601.05420); a score is first mapped to P(y = 1 | score), see ``recalibrate``.

Images of one prompt are not independent, so variances are sums over whole prompts (clusters), and intervals use
Student's t with the degrees of freedom of the rated prompts. With one image per prompt the estimate and its variance
are those of the paper.

Legend: n rated images, N other images, G prompts. Ratings are 1 for wrong anatomy and 0 for right anatomy; a paired
difference of two runs uses differences of ratings and of scores, in [-1, 1].
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import special

from asap.benchmark.intervals import LEVEL, Estimate, cluster_index, wilson
from asap.core.errors import InputError

__all__ = ["MIN_RATED_PROMPTS", "Combined", "combine", "ppi_mean", "recalibrate"]

MIN_RATED_PROMPTS: Final = 10
"""Fewer rated prompts give no interval: a variance over so few clusters means nothing."""
RATE: Final = (0.0, 1.0)
"""Span of a rate; a difference of rates has (-1.0, 1.0)."""
FOLDS: Final = 5
RIDGE: Final = 1.0
"""Strength of the pull of the recalibration's slope towards 0, in rated images."""
STEPS: Final = 50
FLAT: Final = 1e-9
"""Largest change of a weight at which the recalibration has converged."""
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Combined:
    """One rate three ways; every interval is at 95 % and clustered by prompt."""

    rated: Estimate
    """From the ratings alone; n counts rated images."""
    judged: Estimate
    """What the judge alone says, right or not; n counts all images."""
    combined: Estimate
    """Judge and ratings together; n counts all images."""
    power: float
    """lambda in [0, 1], how far the judge is trusted."""
    n_rated: int
    n_judged: int
    headline: str
    """"combined", or "rated" where the judge does not narrow the interval; that estimate is the one to quote."""
    ratings_to_halve: int | None
    """Further ratings that would halve the headline's interval; None where ratings of these images cannot."""

    @property
    def best(self) -> Estimate:
        """The estimate that ``headline`` names."""
        return self.combined if self.headline == "combined" else self.rated

    def to_json(self) -> dict[str, object]:
        """As plain values; the headline's value and interval at the top."""
        return {
            **self.best.to_json(),
            "headline": self.headline,
            "n_rated": self.n_rated,
            "n_judged": self.n_judged,
            "power": self.power,
            "ratings_to_halve": self.ratings_to_halve,
            **{name: getattr(self, name).to_json() for name in ("rated", "judged", "combined")},
        }


def ppi_mean(
    y: npt.ArrayLike, f_rated: npt.ArrayLike, f_other: npt.ArrayLike, *, power: float | None = None
) -> tuple[float, float, float]:
    """PPI++ for independent images, as in the paper: point, standard error and lambda.

    Args:
        y: (n,) ratings.
        f_rated: (n,) scores of the same images.
        f_other: (N,) scores of the images that nobody rated.
        power: lambda; None for the one of the smallest variance, clipped to [0, 1].

    Raises:
        InputError: fewer than two rated images or no others, or lengths that differ.
    """
    y, f_rated, f_other = (np.asarray(part, dtype=np.float64) for part in (y, f_rated, f_other))
    if len(y) != len(f_rated) or len(y) < 2 or not len(f_other):
        raise InputError(
            f"prediction-powered inference needs two ratings with their scores and other scores, got {len(y)} ratings, "
            f"{len(f_rated)} scores of rated and {len(f_other)} of other images"
        )
    n, others = len(y), len(f_other)
    if power is None:
        # The paper's plug-in: covariance over rated images (divided by n), variance of the score over all of them.
        both = np.concatenate([f_rated, f_other])
        variance = float(both.var(ddof=1))
        covariance = float(np.cov(y, f_rated, ddof=0)[0, 1])
        power = min(1.0, max(0.0, covariance / ((1 + n / others) * variance))) if variance > 0 else 0.0
    point = float((y - power * f_rated).mean() + power * f_other.mean())
    error = math.sqrt(float((y - power * f_rated).var() / n + power**2 * f_other.var() / others))
    return point, error, power


def combine(
    ratings: npt.ArrayLike,
    scores: npt.ArrayLike,
    prompts: Sequence[str],
    *,
    span: tuple[float, float] = RATE,
    calibrated: bool = False,
) -> Combined:
    """The rate of all images from scores on all and ratings on some.

    Args:
        ratings: (n + N,) 0 or 1 (or a difference of them), NaN where nobody rated. Which images are rated must not
            depend on what they show or on their scores: draw prompts at random.
        scores: (n + N,) the judge's, in the same units; see ``recalibrate``.
        prompts: (n + N,) names; images of one prompt are one cluster, wherever they come from.
        span: lowest and highest possible rate; intervals are cut there.
        calibrated: the scores are from ``recalibrate``, or are differences of such scores. Then the covariance of score
            and rating is the variance of the score, so the best lambda is N / (n + N) and need not be estimated from
            the few ratings, which would bias a low rate downwards.

    Raises:
        InputError: lengths differ, or there is a score that is no number.
    """
    y, f = np.asarray(ratings, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if not len(y) == len(f) == len(prompts) or not np.isfinite(f).all():
        raise InputError(
            f"every image needs a prompt, a score that is a number and a rating or NaN; got {len(y)} ratings, {len(f)} "
            f"scores ({int(np.isfinite(f).sum())} finite) and {len(prompts)} prompts"
        )
    rated, index = ~np.isnan(y), cluster_index(prompts)
    n, others = int(rated.sum()), int((~rated).sum())
    judged = _mean(f, index, span)
    if len(np.unique(index[rated])) < MIN_RATED_PROMPTS:
        alone = Estimate(value=float(y[rated].mean()) if n else None, low=None, high=None, n=n)
        return Combined(
            rated=alone,
            judged=judged,
            combined=Estimate.none(len(y)),
            power=0.0,
            n_rated=n,
            n_judged=len(y),
            headline="rated",
            ratings_to_halve=None,
        )
    alone = _mean(y[rated], index[rated], span)
    power = others / len(y) if calibrated else _power(y, f, index, rated) if others else 0.0
    combined = alone if not others else _combined(y, f, index, rated, power, span)
    narrower = others > 0 and power > 0 and _width(combined) < _width(alone)
    return Combined(
        rated=alone,
        judged=judged,
        combined=combined,
        power=power,
        n_rated=n,
        n_judged=len(y),
        headline="combined" if narrower else "rated",
        ratings_to_halve=_to_halve(y, f, index, rated, power if narrower else 0.0),
    )


def recalibrate(
    ratings: npt.ArrayLike, scores: npt.ArrayLike, prompts: Sequence[str], rng: np.random.Generator
) -> Array:
    """(n + N,) P(rating = 1 | score) by logistic regression on the rated images, for ``combine``.

    A rated image gets the value of a fit that did not see its prompt (cross-fitting in ``FOLDS`` folds of prompts), any
    other image the mean over all fits, so that the estimate stays unbiased (arXiv:2309.16598).

    Args:
        ratings: (n + N,) 0, 1, or NaN where nobody rated.
        scores: (n + N,) probabilities in [0, 1] or verdicts 0 and 1.
        prompts: (n + N,) names.
        rng: draws the folds.
    """
    y, f = np.asarray(ratings, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    x = special.logit(np.clip(f, 1e-3, 1 - 1e-3))
    index, rated = cluster_index(prompts), ~np.isnan(y)
    clusters = rng.permutation(np.unique(index[rated]))
    fold = np.full(index.max() + 1, -1)
    fold[clusters] = np.arange(len(clusters)) % FOLDS
    out, other = np.zeros(len(y)), []
    for k in range(FOLDS):
        teach, held = rated & (fold[index] != k), rated & (fold[index] == k)
        intercept, slope = _logistic(x[teach], y[teach])
        out[held] = special.expit(intercept + slope * x[held])
        other.append(special.expit(intercept + slope * x[~rated]))
    out[~rated] = np.mean(other, axis=0)
    return out


def _logistic(x: Array, y: Array) -> tuple[float, float]:
    """Intercept and slope of P(y = 1 | x), the slope pulled towards 0 so that it stays finite on few images.

    Newton's method; the loss is convex, and a step that does not lower it is halved.
    """
    centre, scale = (float(x.mean()), float(x.std()) or 1.0) if len(x) else (0.0, 1.0)
    z = (x - centre) / scale
    ridge = RIDGE * np.array([0.01, 1.0])
    design = np.stack([np.ones_like(z), z])

    def loss(weights: Array) -> float:
        logits = weights @ design
        return float((np.logaddexp(0, logits) - y * logits).sum() + 0.5 * ridge @ weights**2)

    weights = np.zeros(2)
    now = loss(weights)
    for _ in range(STEPS):
        fitted = special.expit(weights @ design)
        slope = design @ (fitted - y) + ridge * weights
        curvature = (design * (fitted * (1 - fitted))) @ design.T + np.diag(ridge)
        step = np.linalg.solve(curvature, slope)
        while (after := loss(weights - step)) > now and np.abs(step).max() > FLAT:
            step = step / 2
        if after >= now:
            break
        weights, now = weights - step, after
        if np.abs(step).max() < FLAT:
            break
    a, b = weights
    return float(a - b * centre / scale), float(b / scale)


def _sums(values: Array, index: npt.NDArray[np.int64]) -> Array:
    """Sum of ``values`` over each cluster that occurs."""
    _, inverse = np.unique(index, return_inverse=True)
    return np.asarray(np.bincount(inverse, weights=values), dtype=np.float64)


def _moments(values: Array, index: npt.NDArray[np.int64]) -> tuple[float, int]:
    """Variance of the mean of ``values`` over whole clusters, and how many clusters there are."""
    groups = len(np.unique(index))
    deviations = _sums(values - values.mean(), index)
    return float((deviations**2).sum() / len(values) ** 2 * groups / (groups - 1)) if groups > 1 else math.inf, groups


def _mean(values: Array, index: npt.NDArray[np.int64], span: tuple[float, float]) -> Estimate:
    """Mean with its clustered interval."""
    if not len(values):
        return Estimate.none()
    variance, groups = _moments(values, index)
    return _interval(float(values.mean()), variance, groups - 1, groups, len(values), span)


def _power(y: Array, f: Array, index: npt.NDArray[np.int64], rated: npt.NDArray[np.bool_]) -> float:
    """Lambda of the smallest variance, in [0, 1]: the paper's plug-in with sums over clusters."""
    n, others = int(rated.sum()), int((~rated).sum())
    e_y = _sums(y[rated] - y[rated].mean(), index[rated])
    e_f = _sums(f[rated] - f[rated].mean(), index[rated])
    every = _sums(f - f.mean(), index)
    if len(e_y) < 2 or not every.any():
        return 0.0
    covariance = float(e_y @ e_f) / n
    variance = float(every @ every) / len(f) * len(every) / (len(every) - 1)
    return min(1.0, max(0.0, covariance / (variance * (1 + n / others))))


def _combined(
    y: Array,
    f: Array,
    index: npt.NDArray[np.int64],
    rated: npt.NDArray[np.bool_],
    power: float,
    span: tuple[float, float],
) -> Estimate:
    """PPI++ with ``power``; a prompt that is rated in part counts in both means, with their covariance."""
    n, others = int(rated.sum()), int((~rated).sum())
    residual = y[rated] - power * f[rated]
    point = float(residual.mean() + power * f[~rated].mean())
    first, groups = _moments(residual, index[rated])
    second, more = _moments(power * f[~rated], index[~rated])
    size = int(index.max()) + 1
    a = np.bincount(index[rated], weights=residual - residual.mean(), minlength=size) / n
    b = power * np.bincount(index[~rated], weights=f[~rated] - f[~rated].mean(), minlength=size) / others
    if more < 2:
        second = 0.0 if power == 0 else math.inf
    variance = max(first + second + 2 * float(a @ b), 0.0)
    # Welch and Satterthwaite: two variances, each with the degrees of freedom of its own prompts.
    freedom = variance**2 / (first**2 / (groups - 1) + second**2 / max(more - 1, 1)) if 0 < variance < math.inf else 1
    return _interval(point, variance, freedom, groups, len(y), span)


def _interval(
    point: float, variance: float, freedom: float, groups: int, n: int, span: tuple[float, float]
) -> Estimate:
    """Student's t around the point; for a rate, Wilson's score interval at the size that has this variance.

    A rate near 0 has a skewed distribution, and symmetric intervals then miss the truth too often. A rate p from m
    independent images has variance p (1 - p) / m; the m that this variance asks for (smaller where images of a prompt
    resemble each other, larger where the judge helps) takes the place of n in Wilson's interval. Where all prompts
    agree the measured variance is 0, and Wilson's limit for none of ``groups`` prompts bounds the share of others.
    """
    low, high = span
    value = min(high, max(low, point))
    if not math.isfinite(variance) or freedom <= 0:
        return Estimate(value=value, low=None, high=None, n=n)
    t = float(special.stdtrit(freedom, 0.5 + LEVEL / 2))
    if variance == 0 or span != RATE or not 0 < value < 1:
        half = t * math.sqrt(variance) or (wilson(0, groups).high or 0.0)
        return Estimate(value=value, low=max(low, value - half), high=min(high, value + half), n=n)
    size = value * (1 - value) / variance
    shrink = 1 + t * t / size
    centre = (value + t * t / (2 * size)) / shrink
    half = t / shrink * math.sqrt(variance + t * t / (4 * size * size))
    return Estimate(value=value, low=max(low, centre - half), high=min(high, centre + half), n=n)


def _width(estimate: Estimate) -> float:
    return math.inf if estimate.low is None or estimate.high is None else estimate.high - estimate.low


def _to_halve(
    y: Array, f: Array, index: npt.NDArray[np.int64], rated: npt.NDArray[np.bool_], power: float
) -> int | None:
    """Further ratings of the same images that halve the interval, by the variances as they are measured now.

    With m images rated the best lambda is proportional to the share of those that are not.
    """
    n, total = int(rated.sum()), len(y)
    some = [_moments(y[rated] - trust * f[rated], index[rated])[0] for trust in (0.0, 0.5, 1.0)]
    curve = 2 * (some[0] - 2 * some[1] + some[2])
    count = np.arange(n, total + 1)
    trust = power * (total - count) / max(total - n, 1)
    residual = some[0] + (some[2] - some[0] - curve) * trust + curve * trust**2
    # the variance of the mean score of the others is that of all scores, times total / (total - m)
    others = power * trust * _moments(f, index)[0] * total / max(total - n, 1) if power else 0.0
    variance = residual * n / count + others
    if not 0 < variance[0] < math.inf:
        return None
    enough = count[variance <= variance[0] / 4]
    return int(enough[0]) - n if len(enough) else None
