"""Verdicts, pairs and training logs to one page, and the same as JSON and Markdown."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from asap.benchmark.report import (
    Curve,
    Example,
    PairView,
    Point,
    ReportData,
    Shown,
    html_page,
    json_report,
    markdown_page,
)
from asap.benchmark.summary import Judged
from asap.core.errors import InputError
from asap.core.files import write_json, write_text
from asap.core.manifest import environment
from asap.stores.pairs import PairStore
from asap.stores.verdicts import VerdictStore
from asap.workflows.evaluation.metrics import calibration_of, load_judged, measure

__all__ = ["model_names", "report"]

QUANTITIES: Final = (
    "loss",
    "delta",
    "accuracy",
    "above_tau",
    "winner_rise_inside",
    "loser_rise_inside",
    "winner_rise_outside",
    "norm_ratio",
)
SMOOTH: Final = 20


def report(
    out: Path,
    *,
    base: Path,
    aligned: Sequence[Path] | Mapping[str, Path],
    pairs: Path | None = None,
    runs: Mapping[str, Path] | None = None,
    sweep: Mapping[str, Sequence[Point]] | None = None,
    extra: Mapping[str, Mapping[str, object]] | None = None,
    reference: Path | None = None,
    title: str = "Anatomy before and after alignment",
    examples: int = 12,
    shown_pairs: int = 9,
) -> Path:
    """Write ``report.html``, ``report.json`` and ``report.md`` to ``out``; returns the page's path.

    Args:
        out: folder.
        base: verdicts on the base model.
        aligned: verdicts on each aligned model, by name; a list is named by ``model_names``.
        pairs: pair store to show pairs of, and of clean renders if ``reference`` is not given.
        runs: training runs by name, for their curves.
        sweep: points of AER against drift by method; the models' own if None.
        extra: further keys for a model's numbers (steps, seconds).
        reference: pair store whose clean test renders the Frechet distance is taken to.
        title: heading.
        examples: images at equal seeds to show.
        shown_pairs: pairs to show.

    Raises:
        InputError: different judges or suites, an aligned model called base, or a folder that cannot be written.
        StoreError: a store cannot be read.
    """
    folders = dict(aligned) if isinstance(aligned, Mapping) else dict(zip(model_names(aligned), aligned, strict=True))
    if "base" in folders:
        raise InputError("an aligned model cannot be called base; give it another name")
    more, clean = extra or {}, reference or pairs
    models = {"base": measure(base, None, reference=clean, extra=more.get("base"))}
    models |= {name: measure(path, base, reference=clean, extra=more.get(name)) for name, path in folders.items()}
    judged = {"base": load_judged(base)} | {name: load_judged(path) for name, path in folders.items()}
    data = ReportData(
        title=title,
        base="base",
        models=models,
        calibration=calibration_of(base),
        pairs=_pair_views(pairs, shown_pairs),
        curves=_curves(runs or {}),
        examples=_examples(judged, examples),
        sweep=sweep or {},
        facts=_facts(base, folders, pairs),
    )
    write_json(out / "report.json", json_report(data))
    write_text(out / "report.md", markdown_page(data))
    write_text(out / "report.html", html_page(data))
    return out / "report.html"


def model_names(folders: Sequence[Path]) -> list[str]:
    """A name for each folder of verdicts: its own, or that of the folder above where it is called ``verdicts``.

    Raises:
        InputError: two folders would share a name, or one would be called ``base``.
    """
    names = [path.resolve().parent.name if path.name == "verdicts" else path.resolve().name for path in folders]
    if len(set(names)) < len(names) or "base" in names:
        raise InputError(f"models are named after their folders and need different names, not base; got {names}")
    return names


def _pair_views(pairs: Path | None, count: int) -> list[PairView]:
    """Pairs with a defect, spread over the store's operations."""
    if pairs is None or not count:
        return []
    store = PairStore.open(pairs)
    groups: dict[tuple[str, str], list[int]] = {}
    for place, key in enumerate(
        zip(store.column("part"), store.column("operation"), store.column("kind"), strict=True)
    ):
        if key[2] == "defect":
            groups.setdefault(key[:2], []).append(place)
    firsts = [rows[len(rows) // 2] for _, rows in sorted(groups.items(), key=lambda item: -len(item[1]))]
    views = []
    for row in store.rows(firsts[:count]):
        label = f"{row.part}: {row.operation.replace('_', ' ')}, severity {row.severity}"
        views.append(PairView(chosen=row.chosen, rejected=row.rejected, mask=row.mask, prompt=row.prompt, label=label))
    return views


def _curves(runs: Mapping[str, Path]) -> list[Curve]:
    """Smoothed curves out of each run's ``log.jsonl``; a run without a log has none."""
    found = []
    for name, run in runs.items():
        path = run / "log.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        rows = [row for row in map(json.loads, lines) if "step" in row]
        for quantity in QUANTITIES:
            points = [(row["step"], row[quantity]) for row in rows if isinstance(row.get(quantity), int | float)]
            if len(points) > 1:
                steps, values = zip(*points, strict=True)
                found.append(Curve(method=name, quantity=quantity, steps=steps, values=_smooth(values)))
    return found


def _smooth(values: Sequence[float]) -> list[float]:
    """Trailing mean over at most ``SMOOTH`` steps."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(sums))
    starts = np.maximum(0, ends - SMOOTH)
    return [float(value) for value in (sums[ends] - sums[starts]) / (ends - starts)]


def _examples(judged: Mapping[str, Sequence[Judged]], count: int) -> list[Example]:
    """Images that all models have, evenly over the suite and not by result, so that nothing is picked to please."""
    tables = {name: {(row.prompt_id, row.seed): row for row in rows} for name, rows in judged.items()}
    shared = sorted(set.intersection(*(set(table) for table in tables.values())))
    if not shared or not count:
        return []
    chosen = [shared[place] for place in np.unique(np.linspace(0, len(shared) - 1, count).astype(int))]
    return [_example(key, tables) for key in chosen]


def _example(key: tuple[str, int], tables: Mapping[str, Mapping[tuple[str, int], Judged]]) -> Example:
    rows = {name: table[key] for name, table in tables.items()}
    first = next(iter(rows.values()))
    shown = {name: Shown(image=row.image, fails=row.fails, probability=row.probability) for name, row in rows.items()}
    return Example(prompt=first.prompt, category=first.category, seed=key[1], shown=shown)


def _facts(base: Path, folders: Mapping[str, Path], pairs: Path | None) -> dict[str, str]:
    """Hashes and versions of the foot."""
    facts: dict[str, Any] = {"verdicts on base": VerdictStore.open(base).content_hash[:16]}
    facts |= {f"verdicts on {name}": VerdictStore.open(path).content_hash[:16] for name, path in folders.items()}
    if pairs is not None:
        facts["pairs"] = PairStore.open(pairs).content_hash[:16]
    return facts | environment()
