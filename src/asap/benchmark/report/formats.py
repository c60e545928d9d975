"""A comparison as JSON, CSV and Markdown."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

from asap.benchmark.report.data import Comparison
from asap.benchmark.report.flips import flip_counts, flip_of
from asap.benchmark.report.tables import headline, judge_line, null_edit_line, tables, unmeasured

__all__ = ["compare_csv", "compare_json", "compare_markdown", "table_text", "verdict_word"]

RATING: Final[Mapping[float | None, str]] = {1.0: "wrong", 0.0: "right", 0.5: "tie"}
"""What raters say together, as a word; empty where nobody rated."""


def compare_json(data: Comparison) -> dict[str, Any]:
    """Every number of the page."""
    return {
        "title": data.title,
        "base": data.base,
        "headline": headline(data),
        "models": {name: dict(row) for name, row in data.models.items()},
        "quality": {name: dict(row) for name, row in data.quality.items()},
        "judge": dict(data.judge),
        "calibration": data.calibration,
        "suite": dict(data.suite),
        "flags": list(data.flags),
        "agreement": {name: dict(row) for name, row in data.agreement.items()},
        "ratings": dict(data.ratings),
        "preference": {name: dict(row) for name, row in data.preference.items()},
        "flips": {name: flip_counts(data, name) for name in data.models if name != data.base},
        "sweep": {name: [vars(point) for point in points] for name, points in data.sweep.items()},
        "lineage": [list(row) for row in data.lineage],
        "facts": dict(data.facts),
    }


def compare_csv(data: Comparison) -> str:
    """One row per image: prompt, seed, model, verdict, probability, flip against the base, rating, reason."""
    buffer = io.StringIO()
    write = csv.writer(buffer, lineterminator="\n").writerow
    head = [
        "prompt_id",
        "category",
        "seed",
        "model",
        "verdict",
        "probability",
        "not_visible",
        "flip",
        "rating",
        "reason",
    ]
    write(head)
    for case in data.cases:
        for model, verdict in case.verdicts.items():
            probability = "" if verdict.probability is None else f"{verdict.probability:.4f}"
            flip = "" if model == data.base else flip_of(case.verdicts.get(data.base), verdict)
            row = [
                case.prompt_id,
                case.category,
                case.seed,
                model,
                verdict_word(verdict.fails, verdict.error),
                probability,
            ]
            write([*row, " ".join(verdict.hidden_parts), flip, RATING.get(verdict.rating, ""), verdict.reason])
    return buffer.getvalue()


def verdict_word(fails: bool | None, error: bool) -> str:
    """``wrong``, ``passes``, ``error`` or ``not scored``."""
    if fails is None:
        return "error" if error else "not scored"
    return "wrong" if fails else "passes"


def compare_markdown(data: Comparison) -> str:
    """The tables in Markdown."""
    parts = [f"# {data.title}", headline(data), judge_line(data)]
    if data.flags:
        parts += ["## Warnings", "\n".join(f"- {flag}" for flag in data.flags)]
    for heading, _, rows in tables(data):
        parts += [f"## {heading}", table_text(*rows)]
    parts += [null_edit_line(data.calibration)] if data.calibration else []
    parts += [unmeasured(data)]
    if data.facts:
        parts += ["## Facts", "\n".join(f"- {name}: {value}" for name, value in data.facts.items())]
    return "\n\n".join(filter(None, parts)) + "\n"


def table_text(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in [headings, ["---"] * len(headings), *rows]]
    return "\n".join(lines)
