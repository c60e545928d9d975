"""Crop coordinates for transformers whose input has the position of each token.

Such a transformer takes one set of positions per call, so rows with different windows run in groups.
"""

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

from asap.backbones.protocol import TextCondition, Window

__all__ = ["ORIGIN", "by_origin", "placed"]

ORIGIN: Final = "origin"
"""Name of the condition's tensor (B, 2): row and column of the window's first token in the whole image."""

Run = Callable[[Tensor, Tensor, TextCondition, tuple[float, float]], Tensor]
"""(x_t, t, condition, (row, column) of the first token) -> prediction, for rows of one origin."""


def placed(condition: TextCondition, windows: Sequence[Window], cell: int) -> TextCondition:
    """The condition with the origin of each row's window; ``cell`` is the side of a token in pixels."""
    rows = [[window.top / cell, window.left / cell] for window in windows]
    like = next(iter(condition.tensors.values()))
    origin = torch.tensor(rows, dtype=torch.float32, device=like.device)
    return TextCondition({**condition.tensors, ORIGIN: origin})


def by_origin(run: Run, x_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
    """``run`` on all rows at once if they share an origin, else once per group of rows that do."""
    if ORIGIN not in condition.tensors:
        return run(x_t, t, condition, (0.0, 0.0))
    found, group = torch.unique(condition.tensors[ORIGIN], dim=0, return_inverse=True)
    if len(found) == 1:
        return run(x_t, t, condition, (float(found[0, 0]), float(found[0, 1])))
    members = [(group == index).nonzero()[:, 0] for index in range(len(found))]
    parts = [
        run(x_t[rows.to(x_t.device)], t[rows.to(t.device)], condition.index(rows), (float(row), float(column)))
        for rows, (row, column) in zip(members, found.tolist(), strict=True)
    ]
    return torch.cat(parts)[torch.cat(members).argsort().to(parts[0].device)]
