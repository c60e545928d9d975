"""Checkpoints of a training run: the newest good one, whole or not at all.

A folder holds ``step-000050.pt`` and ``latest.json`` (step, file name, sha256). The payload is written first and named
second, and older ones go last, so that a kill at any moment leaves a checkpoint that can be read.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from asap.core.errors import InputError, StoreError
from asap.core.files import TEMPORARY, read_json, write_bytes, write_json
from asap.core.hashing import digest

__all__ = ["CheckpointStore"]

LATEST = "latest.json"


class CheckpointStore:
    """Keeps one checkpoint, the newest."""

    def __init__(self, root: Path) -> None:
        """Name the folder; nothing is made before the first ``save``."""
        self.root = root

    def save(self, step: int, payload: Mapping[str, Any]) -> None:
        """Write ``payload`` (tensors and plain values) as the state after ``step`` steps; raises ``InputError``."""
        buffer = io.BytesIO()
        torch.save(dict(payload), buffer)
        data = buffer.getbuffer()
        name = f"step-{step:06d}.pt"
        try:
            write_bytes(self.root / name, data)
        except InputError as error:
            note = "the previous checkpoint is still there; " if (self.root / LATEST).exists() else ""
            raise InputError(f"{error}; {note}free disk space and run the same command again") from error
        write_json(self.root / LATEST, {"step": step, "file": name, "sha256": digest(data)})
        for old in (*self.root.glob("step-*.pt"), *self.root.glob(f"{TEMPORARY}*")):
            if old.name != name:
                old.unlink(missing_ok=True)

    @property
    def steps(self) -> int:
        """Steps before the newest checkpoint; 0 if there is none. Raises ``StoreError`` for a damaged index."""
        index = self.root / LATEST
        entry = read_json(index) if index.exists() else {"step": 0}
        if not isinstance(entry, dict) or not isinstance(entry.get("step"), int):
            raise StoreError(f"{index} does not name a checkpoint; delete {self.root} to start over")
        return int(entry["step"])

    def latest(self) -> dict[str, Any] | None:
        """The newest payload on the CPU, or None if there is none.

        Raises:
            StoreError: it is missing or damaged.
        """
        index = self.root / LATEST
        if not index.exists():
            return None
        entry = read_json(index)
        if not isinstance(entry, dict) or not {"file", "sha256"} <= entry.keys():
            raise StoreError(f"{index} does not name a checkpoint; delete {self.root} to start over")
        path = self.root / str(entry["file"])
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StoreError(f"cannot read the checkpoint {path}: {error.strerror}; delete {self.root}") from error
        if digest(data) != entry["sha256"]:
            raise StoreError(f"the checkpoint {path} is damaged; delete {self.root} to start over")
        payload: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return payload
