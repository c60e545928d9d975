"""The anatomy error rate of a run and its change to the base, from blind ratings and a judge's verdicts.

Ratings decide; the judge only narrows the interval (``prediction_powered``). Three estimates are given: from the
ratings alone, from the judge alone (not valid unless the judge is right), and from both. Everything is clustered by
prompt.

A rating is 1 if most raters call the anatomy wrong, 0 if most call it right, and 0.5 if as many say one as the other.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from asap.benchmark.prediction_powered import MIN_RATED_PROMPTS, Combined, combine, recalibrate
from asap.benchmark.summary import Judged
from asap.core.seeds import generator
from asap.core.vocabulary import CATEGORIES

__all__ = ["evidence"]

Array = npt.NDArray[np.float64]
Json = dict[str, Any]
CHANGE: Final = (-1.0, 1.0)
"""Span of a difference of rates."""
NONE: Final = {"value": None, "ci": None, "n": 0}


def evidence(rows: Sequence[Judged], base: Sequence[Judged], summary: Mapping[str, Any], *, seed: int = 0) -> Json:
    """The rate of one model and its change to the base.

    Args:
        rows: verdicts and ratings of the model's images.
        base: of the base model's, at the same prompts and seeds; the same rows for the base itself.
        summary: result of ``summary.summarize`` for the model: what the judge alone says.
        seed: of the recalibration.

    Returns:
        ``aer`` and ``difference``, each {value, ci, n, headline, n_rated, n_judged, ratings_to_halve, power, rated,
        judged, combined} with the headline's numbers at the top; ``n_rated``; ``n_judged``; and ``by_category`` with
        the keys of ``aer`` for each category that has ratings. ``headline`` names the estimate to quote: ``combined``
        or ``rated``; ``corrected`` (Rogan-Gladen) where there are no ratings but a calibration on images of this
        generator; else None, with no number.
    """
    ratings, scores = _ratings(rows), _scores(rows, seed)
    prompts = [row.prompt_id for row in rows]
    aer = _plain(combine(ratings, scores, prompts, calibrated=True), summary["aer"])
    if aer["headline"] is None and summary["aer_corrected"]["value"] is not None:
        aer |= {**_estimate(summary["aer_corrected"]), "headline": "corrected"}
    return {
        "aer": aer,
        "difference": _difference(rows, base, summary["paired"]["difference"], seed),
        "n_rated": aer["n_rated"],
        "n_judged": aer["n_judged"],
        "by_category": _by_category(rows, ratings, scores, summary["by_category"]),
    }


def _ratings(rows: Sequence[Judged]) -> Array:
    """(N,) ratings, NaN where nobody rated."""
    return np.array([np.nan if row.rating is None else row.rating for row in rows], dtype=np.float64)


def _scores(rows: Sequence[Judged], seed: int) -> Array:
    """(N,) P(rating = 1 | what the judge says); the mean of the others where the judge gave no verdict."""
    said = [(row.probability if row.probability is not None else float(row.fails)) if row.fails is not None else np.nan
            for row in rows]  # fmt: skip
    scores = np.array(said, dtype=np.float64)
    known = ~np.isnan(scores)
    scores[~known] = scores[known].mean() if known.any() else 0.5
    ratings = _ratings(rows)
    rated = {row.prompt_id for row in rows if row.rating is not None}
    if len(rated) < MIN_RATED_PROMPTS:
        return scores
    return recalibrate(ratings, scores, [row.prompt_id for row in rows], generator(seed, "evidence"))


def _difference(rows: Sequence[Judged], base: Sequence[Judged], alone: Mapping[str, Any], seed: int) -> Json:
    """The paired change at equal prompt and seed; a pair counts as rated if both of its images are."""
    sides = []
    for side in (rows, base):
        values = zip(_ratings(side), _scores(side, seed), strict=True)
        sides.append({(row.prompt_id, row.seed): pair for row, pair in zip(side, values, strict=True)})
    keys = sorted(sides[0].keys() & sides[1].keys())
    ours, theirs = (np.array([side[key] for key in keys]).reshape(-1, 2) for side in sides)
    change = ours - theirs
    prompts = [prompt for prompt, _ in keys]
    return _plain(combine(change[:, 0], change[:, 1], prompts, span=CHANGE, calibrated=True), alone)


def _by_category(rows: Sequence[Judged], ratings: Array, scores: Array, alone: Mapping[str, Mapping[str, Any]]) -> Json:
    """The rate in each category that has ratings."""
    found = {}
    for name in CATEGORIES:
        own = np.array([row.category == name for row in rows], dtype=bool)
        if not np.isnan(ratings[own]).all():
            prompts = [row.prompt_id for row in rows if row.category == name]
            estimate = combine(ratings[own], scores[own], prompts, calibrated=True)
            found[str(name)] = _plain(estimate, alone.get(name, NONE))
    return found


def _plain(found: Combined, alone: Mapping[str, Any]) -> Json:
    """Plain values, with the judge's own estimate for the mean recalibrated score; no headline without ratings."""
    result: Json = {**found.to_json(), "judged": _estimate(alone), "n_judged": alone["n"]}
    return result if found.n_rated else {**result, "headline": None}


def _estimate(value: Mapping[str, Any]) -> Json:
    return {name: value[name] for name in ("value", "ci", "n")}
