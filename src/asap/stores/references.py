"""The reference's errors of a training run, cached for later steps and runs with the same pairs and noise samples.

The reference is frozen, so its errors depend on the model, the pairs and the noise samples alone, neither on the method
nor on how a batch is split. Six values per pair and noise sample replace two forwards.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from asap.core.errors import StoreError
from asap.core.files import write_bytes
from asap.core.hashing import digest_json

__all__ = ["ReferenceStore"]

SUMS: Final = (2, 3)
"""Chosen and rejected; mean of r^2, of m*r^2, and of the squared prediction."""


class ReferenceStore:
    """One file for one key; a run may be longer or shorter than the one before."""

    def __init__(self, folder: Path, key: Mapping[str, object]) -> None:
        """Read the values stored for ``key``.

        Args:
            folder: where the file lies, named after the key's hash.
            key: everything that the values depend on (model, latents, dtype, noise samples), JSON-ready.

        Raises:
            StoreError: the file is damaged.
        """
        self.path = folder / f"reference-{digest_json(key)[:16]}.npz"
        self._rows: dict[tuple[int, int], Tensor] = {}
        self._grew = False
        if self.path.exists():
            self._rows = self._read()

    def get(self, names: Sequence[tuple[int, int, int]]) -> Tensor:
        """(R, 3) float64, NaN where unknown, of rows named (pair, number of the noise sample, side)."""
        unknown = torch.full(SUMS, torch.nan, dtype=torch.float64)
        return torch.stack([self._rows.get((pair, number), unknown)[side] for pair, number, side in names])

    def put(self, names: Sequence[tuple[int, int, int]], values: Tensor) -> None:
        """Remember (R, 3) until ``save``."""
        for (pair, number, side), value in zip(names, values.detach().to("cpu", torch.float64), strict=True):
            own = self._rows.setdefault((pair, number), torch.full(SUMS, torch.nan, dtype=torch.float64))
            own[side] = value
        self._grew = True

    def save(self) -> None:
        """Write all values atomically; raises ``InputError`` if the folder refuses."""
        if not self._grew:
            return
        names = np.array(sorted(self._rows), dtype=np.int64).reshape(-1, 2)
        values = [self._rows[pair, number].numpy() for pair, number in names.tolist()]
        buffer = io.BytesIO()
        np.savez(buffer, draws=names, sums=np.stack(values))
        write_bytes(self.path, buffer.getbuffer())
        self._grew = False

    def _read(self) -> dict[tuple[int, int], Tensor]:
        try:
            with np.load(self.path) as file:
                names, sums = file["draws"], torch.from_numpy(file["sums"])
            found = zip(names.tolist(), sums, strict=True)
            return {(pair, number): value for (pair, number), value in found}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise StoreError(f"{self.path} is damaged; delete it") from error
