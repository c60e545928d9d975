"""The reference's errors of a training run, kept for the next run that meets the same pairs at the same draws.

The reference never moves, so its residual sums depend on the model, the pairs, the seed and the batching alone, not on
the method. A sweep over methods needs them once: three numbers a row instead of a forward.
"""

import io
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from asap.core.errors import StoreError
from asap.core.files import write_bytes
from asap.core.hashing import digest_json

__all__ = ["ReferenceStore"]


class ReferenceStore:
    """One file for one key; a run may be longer or shorter than the one before."""

    def __init__(self, folder: Path, key: Mapping[str, object]) -> None:
        """Read what is known for ``key``.

        Args:
            folder: where the file lies, named after the key's hash.
            key: everything that the values depend on, JSON-ready.

        Raises:
            StoreError: the file is damaged.
        """
        self.path = folder / f"reference-{digest_json(key)[:16]}.pt"
        self._known: dict[str, Tensor] = {}
        self._grew = False
        if self.path.exists():
            try:
                self._known = torch.load(self.path, map_location="cpu", weights_only=True)
            except (OSError, RuntimeError, ValueError, EOFError) as error:
                raise StoreError(f"{self.path} is damaged; delete it") from error

    def get(self, step: int, slots: tuple[int, ...]) -> Tensor | None:
        """Packed residuals (R, 3) of one micro-batch, or None."""
        return self._known.get(_name(step, slots))

    def put(self, step: int, slots: tuple[int, ...], values: Tensor) -> None:
        """Remember them until ``save``."""
        self._known[_name(step, slots)] = values.cpu()
        self._grew = True

    def save(self) -> None:
        """Write what was learned, whole or not at all; raises ``InputError`` if the folder refuses."""
        if not self._grew:
            return
        buffer = io.BytesIO()
        torch.save(self._known, buffer)
        write_bytes(self.path, buffer.getbuffer())
        self._grew = False


def _name(step: int, slots: tuple[int, ...]) -> str:
    return f"{step}/{slots[0]}-{slots[-1]}"
