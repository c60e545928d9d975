"""A leaderboard: rows of several comparisons in one file, merged only if prompts, seeds and judge are the same."""

from collections.abc import Mapping
from typing import Any, Final

from asap.benchmark.report.data import Comparison
from asap.core.errors import InputError, StoreError

__all__ = ["merge_leaderboard"]

FORMAT: Final = 1
COLUMNS: Final = (
    "aer",
    "aer_corrected",
    "rsi",
    "win",
    "tie",
    "lose",
    "n",
    "unscored",
    "errors",
    "not_visible",
    "judge",
    "evidence",
)

UNRATED: Final[Mapping[str, Any]] = {"aer": {"value": None}}
"""Stands for the evidence of a row that has none."""


def merge_leaderboard(board: Mapping[str, Any] | None, data: Comparison, hashes: Mapping[str, str]) -> dict[str, Any]:
    """The board with this comparison's rows.

    Rows with a headline AER come first, lowest first; then rows that have the judge's own rate only; then the others.

    Args:
        board: content of the file, None for a new one.
        data: the comparison.
        hashes: content hash of each model's verdicts.

    Raises:
        StoreError: the file is no leaderboard.
        InputError: its prompts, seeds or judge differ, or it has other verdicts under one of the names.
    """
    question = {
        "suite": str(data.suite["digest"]),
        "seeds": list(data.suite["seeds"]),
        "judge": str(data.judge["fingerprint"]),
    }
    if board is None:
        names = {"suite_name": data.suite["name"], "judge_name": data.judge["name"]}
        board = {"format": FORMAT, **question, **names, "base": data.base, "rows": []}
    if board.get("format") != FORMAT or not isinstance(board.get("rows"), list):
        raise StoreError("the file is not a leaderboard of asap; choose another file")
    faults = [name for name, value in question.items() if board.get(name) != value]
    if faults:
        raise InputError(
            f"the leaderboard was made with another {', '.join(faults)}; rows can stand side by side only if prompts, "
            "seeds and judge agree; name another file"
        )
    rows = {str(row["model"]): row for row in board["rows"]}
    for name, summary in data.models.items():
        if name in rows and rows[name]["verdicts"] != hashes[name]:
            raise InputError(f"the leaderboard has another {name!r}; rename the run's folder")
        columns = {key: summary[key] for key in COLUMNS}
        rows[name] = {"model": name, "base": data.base, "verdicts": hashes[name], **columns}
        rows[name]["quality"] = dict(data.quality.get(name, {}))
    return {**board, "rows": sorted(rows.values(), key=_order)}


def _order(row: Mapping[str, Any]) -> tuple[bool, float, bool, float, str]:
    headline, alone = (one["aer"]["value"] for one in (row.get("evidence", UNRATED), row))
    return headline is None, headline or 0.0, alone is None, alone or 0.0, str(row["model"])
