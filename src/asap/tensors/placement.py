"""Place tables on a device if they are small enough; otherwise move single rows on demand."""

from typing import Final

import torch
from torch import Tensor

__all__ = ["place_table", "take_rows"]

SHARE: Final = 0.4
"""Largest share of the free memory of a GPU for one table; the rest is for weights and activations."""


def place_table(table: Tensor, device: torch.device | str) -> Tensor:
    """The table on ``device`` if it is small enough, else unchanged; see ``take_rows``."""
    where = torch.device(device)
    if where.type == "cuda" and table.nbytes > SHARE * torch.cuda.mem_get_info(where)[0]:
        return table
    return table.to(where)


def take_rows(table: Tensor, rows: Tensor, device: torch.device | str) -> Tensor:
    """Rows (B,) of a table from ``place_table``, on ``device``: (B, ...)."""
    return table[rows.to(table.device)].to(device)
