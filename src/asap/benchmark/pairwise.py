"""Metrics of a pairwise judge's votes: RSI, and the bias towards the image shown first."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from scipy import stats

from asap.benchmark.intervals import wilson
from asap.benchmark.metrics import MAX_ERRORS, strength
from asap.core.errors import InputError

__all__ = ["pairwise_strength", "position_bias"]

CAST = {"win": 1, "tie": 0, "lose": -1}
Row = Mapping[str, Any]


def pairwise_strength(rows: Iterable[Row], rng: np.random.Generator) -> dict[str, object]:
    """RSI, counts and win rate without ties of the rows of ``votes.json``; errors are counted and left out.

    Raises:
        InputError: the judge failed on more than ``MAX_ERRORS`` of the pairs.
    """
    listed = list(rows)
    scored = [row for row in listed if row["outcome"] != "error"]
    errors = len(listed) - len(scored)
    if listed and errors / len(listed) > MAX_ERRORS:
        raise InputError(f"no RSI: the judge failed on {errors} of {len(listed)} pairs, more than {MAX_ERRORS:.0%}")
    found = strength([CAST[row["outcome"]] for row in scored], [str(row["prompt_id"]) for row in scored], rng)
    return {**found.to_json(), "errors": errors, "position_bias": position_bias(listed)}


def position_bias(rows: Iterable[Row]) -> dict[str, object]:
    """How much a judge's preference depends on the order of the same two images.

    Returns:
        inconsistent: share of votes, readable in both orders and not twice a tie, that change with the order;
        first: share of those that prefer the first image both times (0.5: no position bias), with the
        two-sided binomial p against 0.5.
    """
    votes = [vote for row in rows for vote in row["votes"] if None not in vote and list(vote) != ["tie", "tie"]]
    turning = [vote for vote in votes if set(vote) != {"first", "second"}]
    first = sum(list(vote) == ["first", "first"] for vote in votes)
    second = sum(list(vote) == ["second", "second"] for vote in votes)
    p = float(stats.binomtest(first, first + second).pvalue) if first + second else None
    return {
        "inconsistent": wilson(len(turning), len(votes)).to_json(),
        "first": wilson(first, first + second).to_json(),
        "p": p,
    }
