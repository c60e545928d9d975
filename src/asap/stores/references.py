"""The reference's errors of a training run, kept for whoever meets the same pairs at the same draws again.

The reference never moves, so its residual sums depend on the model, the pairs and the draws alone, neither on the
method nor on how a batch is split. Six numbers a pair and draw take the place of two forwards.
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
"""Winner and loser; mean of r^2, of m*r^2, and of the squared prediction."""


class ReferenceStore:
    """One file for one key; a run may be longer or shorter than the one before."""

    def __init__(self, folder: Path, key: Mapping[str, object]) -> None:
        """Read what is known for ``key``.

        Args:
            folder: where the file lies, named after the key's hash.
            key: everything that the values depend on (model, latents, number format, draws), JSON-ready.

        Raises:
            StoreError: the file is damaged.
        """
        self.path = folder / f"reference-{digest_json(key)[:16]}.npz"
        self._rows: dict[tuple[int, int], Tensor] = {}
        self._grew = False
        if self.path.exists():
            self._rows = self._read()

    def get(self, pairs: Sequence[int], numbers: Sequence[tuple[int, ...]]) -> Tensor:
        """(B, D, 2, 3) float64 for B pairs at D numbered draws each, NaN where unknown."""
        unknown = torch.full(SUMS, torch.nan, dtype=torch.float64)
        rows = [
            torch.stack([self._rows.get((pair, number), unknown) for number in own])
            for pair, own in zip(pairs, numbers, strict=True)
        ]
        return torch.stack(rows)

    def put(self, pairs: Sequence[int], numbers: Sequence[tuple[int, ...]], values: Tensor) -> None:
        """Remember (B, D, 2, 3) until ``save``."""
        kept = values.detach().to("cpu", torch.float64).clone()
        for pair, own, one in zip(pairs, numbers, kept, strict=True):
            self._rows.update({(pair, number): sums for number, sums in zip(own, one, strict=True)})
        self._grew = True

    def save(self) -> None:
        """Write what was learned, whole or not at all; raises ``InputError`` if the folder refuses."""
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
