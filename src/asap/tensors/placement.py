"""Data for a device: what is small enough lies there whole, the rest stays where it is and is moved row by row."""

from typing import Final

import torch
from torch import Tensor

__all__ = ["place_table", "take_rows"]

SHARE: Final = 0.4
"""Of a GPU's free memory, what one table may take; the rest is for weights and activations."""


def place_table(table: Tensor, device: torch.device | str) -> Tensor:
    """The table on ``device`` if it is small enough to lie there, else as it is; see ``take_rows``."""
    where = torch.device(device)
    if where.type == "cuda" and table.nbytes > SHARE * torch.cuda.mem_get_info(where)[0]:
        return table
    return table.to(where)


def take_rows(table: Tensor, rows: Tensor, device: torch.device | str) -> Tensor:
    """Rows (B,) of a table that ``place_table`` placed, on ``device``: (B, ...)."""
    return table[rows.to(table.device)].to(device)
