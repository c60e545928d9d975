"""Errors of the reference that are remembered: they depend on pair, noise sample and model alone."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from asap.align.errors import NoisedRows, RowErrors, RowName

__all__ = ["ReferenceBank", "cached_reference"]


class ReferenceBank(Protocol):
    """Keeps packed errors by the name of their row."""

    def get(self, names: Sequence[RowName]) -> Tensor:
        """(R, 3) float64 on the CPU, NaN where unknown."""

    def put(self, names: Sequence[RowName], values: Tensor) -> None:
        """Keep (R, 3)."""


def cached_reference(
    reference: Callable[[NoisedRows], RowErrors], bank: ReferenceBank
) -> Callable[[NoisedRows], RowErrors]:
    """Errors (R,) from ``bank`` where it has them, and from ``reference``, which is then remembered, for the rest."""

    def errors(rows: NoisedRows) -> RowErrors:
        device = rows.target.device
        values = bank.get(rows.names).to(device, torch.float32 if device.type == "mps" else torch.float64)
        missing = values.isnan().any(dim=1).nonzero().flatten().tolist()
        if missing:
            asked = rows if len(missing) == len(values) else rows.pick(missing)
            fresh = reference(asked).packed()
            bank.put(asked.names, fresh.cpu())
            values[missing] = fresh
        return RowErrors.unpack(values)

    return errors
