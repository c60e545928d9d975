"""What a model's images were made from: lineage, training curves and training pairs, for the comparison page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from asap.benchmark.report import Curve, PairView
from asap.core.manifest import Manifest
from asap.stores.pairs import PairStore
from asap.stores.trainlog import read_log
from asap.workflows.runtime.lineage import MANIFEST, ancestors

__all__ = ["lineage_rows", "pair_views", "training_curves"]

QUANTITIES: Final = ("loss", "delta", "accuracy", "norm_ratio")
SMOOTH: Final = 20
"""Steps of the trailing mean over a curve."""


def lineage_rows(model: str, images: Manifest) -> list[tuple[str, ...]]:
    """Rows of model, kind, content hash and instruments: the images of a model and everything upstream of them.

    A parent that was moved away is listed with its hash alone.
    """
    manifests = ancestors(images)
    rows = []
    for manifest in manifests:
        content = str(manifest.notes.get("content_hash") or manifest.fingerprint())
        instruments = ", ".join(f"{one.name} ({one.role.replace('_', ' ')})" for one in manifest.instruments)
        rows.append((model, manifest.kind, content[:16], instruments))
    for parent in (parent for manifest in manifests for parent in manifest.parents):
        if not (Path(parent.path) / MANIFEST).is_file():
            rows.append((model, parent.kind, parent.content_hash[:16], "not found"))
    return list(dict.fromkeys(rows))


def training_curves(model: str, images: Manifest) -> list[Curve]:
    """Smoothed curves out of the log of the training run that the images' adapter is from; empty without a log."""
    logs = [
        folder / "log.jsonl"
        for parent in images.parents
        for folder in (Path(parent.path), Path(parent.path).parent.parent)  # a run, or the run of a snapshot
        if (folder / "log.jsonl").is_file()
    ]
    rows = [row for row in read_log(logs[0]) if "warning" not in row] if logs else []
    curves = []
    for quantity in QUANTITIES:
        points = [(row["step"], row[quantity]) for row in rows if isinstance(row.get(quantity), int | float)]
        if len(points) > 1:
            steps, values = zip(*points, strict=True)
            curves.append(Curve(model=model, quantity=quantity, steps=steps, values=_smooth(values)))
    return curves


def _smooth(values: Sequence[float]) -> list[float]:
    """Trailing mean over at most ``SMOOTH`` steps."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(sums))
    starts = np.maximum(0, ends - SMOOTH)
    return [float(value) for value in (sums[ends] - sums[starts]) / (ends - starts)]


def pair_views(pairs: Path, count: int = 9) -> list[PairView]:
    """Pairs with a defect from the store at ``pairs``, one for each of the most frequent parts and operations.

    Raises:
        StoreError: no usable store.
    """
    store = PairStore.open(pairs)
    groups: dict[tuple[str, str], list[int]] = {}
    columns: Mapping[str, list[str]] = store.columns("part", "operation", "kind")
    for position, (part, operation, kind) in enumerate(zip(*columns.values(), strict=True)):
        if kind == "defect":
            groups.setdefault((part, operation), []).append(position)
    middle = [rows[len(rows) // 2] for _, rows in sorted(groups.items(), key=lambda item: -len(item[1]))]
    return [
        PairView(
            chosen=row.chosen,
            rejected=row.rejected,
            mask=row.mask,
            prompt=row.prompt,
            label=f"{row.part}: {row.operation.replace('_', ' ')}, severity {row.severity}",
        )
        for row in store.rows(middle[:count])
    ]
