"""Audit a pair store: test whether the sides can be told apart without the anatomy."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.progress import Progress
from scipy import sparse
from scipy.sparse import csgraph

from asap.core.records import ByteArray, FloatArray
from asap.core.seeds import generator
from asap.gates import file_features, leaks, permutation_test
from asap.stores import png
from asap.stores.pairs import PairStore

__all__ = ["LEVEL", "audit_pairs"]

LEVEL: Final = 0.95
"""Level of all intervals together: each is at 1 - (1 - LEVEL) / number of views (Bonferroni)."""
WORST: Final = ("leak", "too few", "clean")


def audit_pairs(folder: Path, *, split: str | None = None, seed: int = 0) -> dict[str, Any]:
    """Look for leaks in the store at ``folder``.

    Args:
        folder: the pair store.
        split: limits the audit to this split.
        seed: seed of folds, exchanges of sides and bootstrap.

    Returns:
        ``n`` pairs, ``people`` (groups that share no person and no photograph), ``level`` of each interval, ``views``:
        ``{name: {auroc, ci, n, differ, noticed_from, verdict, top}}`` with ``top`` a list of ``{feature, rejected,
        share}``, ``outside``: ``{differ, share, largest}`` of pairs that differ outside their mask, in grey levels, and
        ``verdict``, the worst of all views.

    Raises:
        StoreError: no usable store, or no pair of that split.
        InputError: a stored image is truncated.
    """
    store = PairStore.open(folder, split=split)
    groups = groups_of(*store.columns("person", "source").values())
    level = 1 - (1 - LEVEL) / len(leaks.VIEWS)
    differences, outside = _measure(store)
    views = {
        name: _as_dict(
            permutation_test.separability_test(
                rows, groups, leaks.FEATURES[name], generator(seed, "audit", name), level=level
            )
        )
        for name, rows in differences.items()
    }
    differ = sum(value > 0 for value in outside)
    return {
        "n": len(store),
        "people": len(set(groups)),
        "level": level,
        "views": views,
        "outside": {"differ": differ, "share": differ / len(store), "largest": max(outside)},
        "verdict": min((view["verdict"] for view in views.values()), key=WORST.index),
    }


def groups_of(people: Sequence[str], sources: Sequence[str]) -> list[str]:
    """A group name for each pair; pairs that share a person or a photograph, also through others, are one group."""
    count = len(people)
    labels = [("person", name) if name else ("pair", str(row)) for row, name in enumerate(people)]
    labels += [("source", name) if name else labels[row] for row, name in enumerate(sources)]
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    ends = np.array([numbers[label] for label in labels])
    graph = sparse.coo_array((np.ones(count), (ends[:count], ends[count:])), shape=(len(numbers), len(numbers)))
    _, member = csgraph.connected_components(graph, directed=False)
    return [str(member[number]) for number in ends[:count]]


def _measure(store: PairStore) -> tuple[dict[str, FloatArray], list[int]]:
    """(N, F) differences of every view, and the largest difference of each pair outside its mask."""
    rows: dict[str, list[FloatArray]] = {name: [] for name in leaks.VIEWS}
    outside = []
    with Progress(console=Console(stderr=True)) as progress:
        for row in progress.track(store.stream(), total=len(store), description="auditing pairs"):
            chosen, rejected, mask = (png.decode(row[name]) for name in ("chosen", "rejected", "mask"))
            found = leaks.image_differences(chosen, rejected, mask)
            found["file"] = _file(row["rejected"], rejected) - _file(row["chosen"], chosen)
            for name, values in found.items():
                rows[name].append(values)
            outside.append(leaks.outside_difference(chosen, rejected, mask))
    return {name: np.stack(values) for name, values in rows.items()}, outside


def _file(data: bytes, image: ByteArray) -> FloatArray:
    return file_features.file_features(data, len(png.encode(image)))


def _as_dict(found: permutation_test.Separability) -> dict[str, Any]:
    values = asdict(found)
    values["ci"] = [values.pop("low"), values.pop("high")]
    values["top"] = [dict(zip(("feature", "rejected", "share"), one, strict=True)) for one in found.top]
    return values
