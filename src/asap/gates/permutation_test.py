"""A permutation test of whether the two sides of pairs can be told apart by their features.

Legend: N pairs, F features, G groups (a person with all images of it), R random exchanges of sides.

Each pair has one row x: the features of the rejected side minus those of the chosen one. A discriminant w, fitted on
other groups, scores the rejected side w.x/2 and the chosen one -w.x/2. The AUROC is the share of (rejected, chosen)
couples, over all pairs, in which the rejected side has the higher score, with ties counted half: P(w.x_i + w.x_j > 0)
over all i and j.

If no feature distinguishes the sides, exchanging them in any group changes nothing. R random exchanges therefore give
the distribution of the whole procedure under chance, without an assumption on the distribution of the features (a
randomisation test; Fisher 1935, Edgington 1980). The discriminant is the ridge solution of X w = 1, in closed form: X'X
does not change when rows change sign, so all exchanges together cost a few matrix products.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asap.core.errors import InputError

__all__ = ["FOLDS", "Separability", "auroc", "separability_test"]

FOLDS = 5
PERMUTATIONS = 2000
DRAWS = 2000
RIDGE = 0.1
"""Added to the mean square of each scaled feature, which is about 1."""
CLIP = 3.0
"""Scaled differences are clipped here, so that a single outlier cannot dominate a feature."""
MIN_GROUPS = 20
"""Smallest number of groups with a difference that is evaluated."""
TOP = 3
PART = 200
"""Samples computed at once."""

Matrix = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Separability:
    """The result for one view."""

    auroc: float
    """On unseen groups; 0.5 is chance."""
    low: float
    high: float
    """Confidence interval of the AUROC at the requested level."""
    noticed_from: float
    """Smallest AUROC that exceeds chance at this level; with fewer pairs it is higher."""
    n: int
    """Pairs."""
    differ: int
    """Pairs whose sides differ in the view; the AUROC is over these."""
    verdict: str
    """``clean``, ``leak`` or ``too few``."""
    top: tuple[tuple[str, str, float], ...]
    """The most informative features: name, ``higher`` or ``lower`` on the rejected side, and in which share of the
    pairs that differ.
    """


def separability_test(
    differences: npt.ArrayLike,
    groups: Sequence[str],
    names: Sequence[str],
    rng: np.random.Generator,
    *,
    level: float = 0.95,
) -> Separability:
    """Test whether ``differences`` distinguish the sides of pairs, with groups kept together.

    The interval holds the central ``level`` of a bootstrap over groups, and is never narrower than the interval of
    random exchanges, so a false alarm (``leak`` without a leak) has a probability of at most (1 - level) / 2. ``leak``:
    the interval lies above 0.5. ``clean``: it does not, or no pair differs. ``too few``: fewer than ``MIN_GROUPS``
    groups differ.

    Args:
        differences: (N, F) rejected minus chosen.
        groups: N names; equal names belong together.
        names: F names of features.
        rng: generator of folds, exchanges and bootstrap.
        level: of the interval.

    Raises:
        InputError: lengths do not fit, or a difference is not finite.
    """
    whole = np.asarray(differences, dtype=np.float64)
    if whole.shape != (len(groups), len(names)) or not np.isfinite(whole).all():
        raise InputError(f"wanted finite differences ({len(groups)}, {len(names)}), got {whole.shape}")
    differs = (whole != 0).any(axis=1)
    if not differs.any():
        return Separability(
            auroc=0.5, low=0.5, high=0.5, noticed_from=0.5, n=len(whole), differ=0, verdict="clean", top=()
        )
    member = np.unique(np.asarray(groups, dtype=object)[differs].astype(str), return_inverse=True)[1].astype(np.int64)
    rows = _scaled(whole[differs])
    tails = [0.5 - level / 2, 0.5 + level / 2]
    folds = _folds(member, rng)
    own = _scores(rows, folds, np.ones((len(rows), 1)))[:, 0]
    chance = np.quantile(_null_distribution(rows, member, folds, rng), tails)
    found = float(auroc(own)[0])
    low, high = np.quantile(_bootstrap(own, member, rng), tails)
    low, high = min(low, found - (chance[1] - 0.5)), max(high, found + (0.5 - chance[0]))
    verdict = "too few" if member.max() + 1 < MIN_GROUPS else "leak" if low > 0.5 else "clean"
    return Separability(
        auroc=found,
        low=float(max(0.0, low)),
        high=float(min(1.0, high)),
        noticed_from=float(chance[1]),
        n=len(whole),
        differ=len(rows),
        verdict=verdict,
        top=_top(rows, member, names),
    )


def auroc(scores: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Matrix:
    """(D,) P(s_i + s_j > 0) over all i and j, with ties counted half.

    Args:
        scores: (N,) of the rejected sides; the chosen sides have the negative scores.
        weights: (D, N) how often each pair counts; once if None.
    """
    values = np.asarray(scores, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    counts = np.ones((1, len(values))) if weights is None else np.asarray(weights, dtype=np.float64)[:, order]
    below = np.concatenate([np.zeros((len(counts), 1)), np.cumsum(counts, axis=1)], axis=1)
    first, last = (np.searchsorted(ordered, -ordered, side) for side in ("left", "right"))
    lost = counts * (below[:, first] + below[:, last]) / 2
    return np.asarray(1 - lost.sum(axis=1) / below[:, -1] ** 2, dtype=np.float64)


def _scaled(rows: Matrix) -> Matrix:
    """Scale features by their typical size, clip at ``CLIP``, divide by the root mean square; drop constant ones.

    Neither step depends on signs, so an exchange of sides still changes the sign of a row and nothing else.
    """
    size = np.array([np.median(np.abs(column[column != 0])) if column.any() else np.inf for column in rows.T])
    cut = np.clip(rows / size, -CLIP, CLIP)
    square = np.sqrt((cut**2).mean(axis=0))
    return np.asarray(cut / np.where(square > 0, square, 1.0), dtype=np.float64)


def _folds(member: Groups, rng: np.random.Generator) -> Groups:
    """(N,) the fold of each pair; a group is in one fold only."""
    count = int(member.max()) + 1
    return np.asarray(rng.permutation(count) % min(FOLDS, max(2, count)), dtype=np.int64)[member]


def _scores(rows: Matrix, folds: Groups, signs: Matrix) -> Matrix:
    """(N, R) score of each rejected side by a discriminant of the other folds; -1 in ``signs`` (N, R) is exchanged."""
    out = np.zeros_like(signs)
    for fold in np.unique(folds):
        test, train = rows[folds == fold], rows[folds != fold]
        square = train.T @ train + RIDGE * max(1, len(train)) * np.eye(rows.shape[1])
        out[folds == fold] = test @ np.linalg.solve(square, train.T @ signs[folds != fold])
    return np.asarray(out * signs, dtype=np.float64)


def _null_distribution(rows: Matrix, member: Groups, folds: Groups, rng: np.random.Generator) -> Matrix:
    """(R,) AUROCs after random exchanges of sides, group by group."""
    out = []
    for _ in range(PERMUTATIONS // PART):
        signs = rng.choice([-1.0, 1.0], size=(int(member.max()) + 1, PART))[member]
        out += [float(auroc(column)[0]) for column in _scores(rows, folds, signs).T]
    return np.array(out, dtype=np.float64)


def _bootstrap(scores: Matrix, member: Groups, rng: np.random.Generator) -> Matrix:
    """(DRAWS,) AUROCs of resamples of whole groups."""
    count = int(member.max()) + 1
    parts = [
        auroc(scores, rng.multinomial(count, np.full(count, 1 / count), size=PART)[:, member])
        for _ in range(DRAWS // PART)
    ]
    return np.concatenate(parts)


def _top(rows: Matrix, member: Groups, names: Sequence[str]) -> tuple[tuple[str, str, float], ...]:
    """Features ordered by the distance of their mean from 0, in standard errors over groups."""
    sums = np.zeros((int(member.max()) + 1, rows.shape[1]))
    np.add.at(sums, member, rows)
    power = np.sqrt((sums**2).sum(axis=0))
    weight = np.abs(sums.sum(axis=0)) / np.where(power > 0, power, 1.0)
    found = []
    for column in np.argsort(-weight, kind="stable")[:TOP]:
        values = rows[:, column][rows[:, column] != 0]
        if len(values):
            above = float((values > 0).mean())
            found.append((names[column], "higher" if above >= 0.5 else "lower", max(above, 1 - above)))
    return tuple(found)
