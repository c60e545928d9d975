"""Methods at equal drift: the change of AER that each has reached when it has drifted equally far from the base.

A path is the training of one model in order of steps: rows of the sweep, which start from the base with neither drift
nor change. Drift is ``outside_change``. The path of a row that continues an aligned model includes that model's rows.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

__all__ = ["PLAIN", "best_at", "change_at", "equal_drift"]

Row = Mapping[str, Any]
Path = Sequence[Row]
PLAIN: Final = ("sft", "asap", "dpo")
"""All methods are compared at the final drift of each of these; the last that was run decides which is best."""


def change_at(path: Path, drift: float) -> dict[str, Any]:
    """Change of AER to the base, ``value`` and ``ci``, of the longest training on ``path`` that stays within ``drift``.

    Value and interval are interpolated linearly between rows. The interval is conservative, because the standard
    deviation of a mean of two is at most the mean of theirs. A path that ends within ``drift`` is taken at its end.

    Args:
        path: rows with ``drift`` and ``paired_ci``, in order of steps.
        drift: at least 0.
    """
    points = [(0.0, (0.0, 0.0, 0.0)), *((_drift(row), _change(row)) for row in path)]
    if points[-1][0] <= drift:
        return _estimate(points[-1][1])
    for (low, before), (high, after) in reversed(list(pairwise(points))):
        if low <= drift < high:
            share = (drift - low) / (high - low)
            return _estimate([one + share * (other - one) for one, other in zip(before, after, strict=True)])
    raise ValueError(f"drift must be at least 0, got {drift}")


def equal_drift(paths: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """``change_at`` of every method at the final drift of each of ``PLAIN`` that was run (of all methods if none was).

    Returns:
        By the method whose drift it is: ``drift``, and ``change`` by method.
    """
    names = [name for name in PLAIN if name in paths] or list(paths)
    drifts = {name: _drift(paths[name][-1]) for name in names}
    return {
        name: {"drift": drift, "change": {method: change_at(path, drift) for method, path in paths.items()}}
        for name, drift in drifts.items()
    }


def best_at(compared: Mapping[str, Mapping[str, Any]], methods: Sequence[str]) -> str:
    """Which of ``methods`` has the lowest AER in the last comparison of ``equal_drift``; the first of equals."""
    last = list(compared.values())[-1]["change"]
    return min(methods, key=lambda name: float(last[name]["value"]))


def _drift(row: Row) -> float:
    return float(row["drift"]["outside_change"]["value"])


def _change(row: Row) -> tuple[float, float, float]:
    found = row["paired_ci"]
    return float(found["value"]), float(found["ci"][0]), float(found["ci"][1])


def _estimate(values: Sequence[float]) -> dict[str, Any]:
    return {"value": values[0], "ci": [values[1], values[2]]}
