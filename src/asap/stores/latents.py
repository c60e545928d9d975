"""The inputs of training in a model's latent space, encoded once: latents, masks, text embeddings.

A folder holds ``key.json`` (what the content depends on, and the columns), one sparse raw file per column with one row
per pair, and ``done.npy`` (which rows are written). Rows are written before they are marked, so a kill loses at most
the last ones. Only written rows take space, and of those only the part before the zeros at their end.
"""

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asap.core.errors import InputError, StoreError
from asap.core.files import make_folder, read_json, write_bytes, write_json
from asap.core.hashing import digest_json

__all__ = ["DONE", "KEY", "LatentStore"]

KEY: Final = "key.json"
DONE: Final = "done.npy"
FORMAT: Final = 1


class LatentStore:
    """Rows of named tensors by pair index, in any order, each written once."""

    def __init__(self, root: Path, key: Mapping[str, object], rows: int) -> None:
        """Open or start the store of ``key`` under ``root``.

        Args:
            root: parent folder; the store lies in a folder named after the key's hash.
            key: everything that the content depends on (pair store hash, model fingerprint, size), JSON-ready.
            rows: number of pairs.

        Raises:
            InputError: the folder cannot be made.
            StoreError: what lies there is damaged.
        """
        self.key = {"format": FORMAT, "rows": rows, **key}
        self.rows = rows
        self.root = make_folder(root / digest_json(self.key)[:16])
        self._columns: dict[str, npt.NDArray[Any]] = {}
        if (self.root / KEY).exists():
            self._open()
        self._done = self._read_done()

    def missing(self, indices: Sequence[int]) -> list[int]:
        """The sorted distinct ``indices`` that are not written yet."""
        return [index for index in sorted(set(indices)) if not self._done[index]]

    def write(self, indices: Sequence[int], values: Mapping[str, Tensor]) -> None:
        """Write one row per index of every column; the first call fixes the columns' shapes and types.

        Args:
            indices: pair indices, B of them.
            values: column name -> (B, ...).

        Raises:
            InputError: the disk refuses, or a column's shape differs from that of the rows before.
        """
        arrays = {name: value.detach().cpu().numpy() for name, value in values.items()}
        if not self._columns:
            self._start(arrays)
        for name, column in self._columns.items():
            if column.shape[1:] != arrays[name].shape[1:]:
                raise InputError(
                    f"column {name!r} has rows of shape {column.shape[1:]}, got {arrays[name].shape[1:]}; "
                    "encode every pair to the same size"
                )
            rows = arrays[name].astype(column.dtype, copy=False).reshape(len(indices), -1)
            self._put(self.root / f"{name}.bin", indices, rows)
        self._done[list(indices)] = True
        buffer = io.BytesIO()
        np.save(buffer, self._done)
        write_bytes(self.root / DONE, buffer.getbuffer())

    def _put(self, path: Path, indices: Sequence[int], rows: npt.NDArray[Any]) -> None:
        """Write rows up to their last number that is not 0, so that padding takes no room.

        Through the file and not the map, because in a map a full disk is no error but the end of the process.
        """
        try:
            with path.open("r+b") as file:
                for index, row in zip(indices, rows, strict=True):
                    filled = np.flatnonzero(row)
                    file.seek(index * row.nbytes)
                    file.write(row[: int(filled[-1]) + 1 if len(filled) else 0].tobytes())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(
                f"cannot write {path}: {error.strerror or error}; make room or choose another cache folder, and run "
                "the same command again"
            ) from error

    @property
    def written(self) -> int:
        """Number of rows that are written."""
        return int(self._done.sum())

    def read(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Rows at ``indices``, every column, on the CPU.

        Raises:
            StoreError: a row was never written.
        """
        if lost := self.missing(indices):
            raise StoreError(f"{self.root} lacks {len(lost)} of these rows, the first is {lost[0]}; encode them")
        return {name: torch.from_numpy(np.array(column[list(indices)])) for name, column in self._columns.items()}

    def _start(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        columns = {
            name: {"shape": list(array.shape[1:]), "dtype": array.dtype.str} for name, array in sorted(arrays.items())
        }
        for name, column in columns.items():
            bytes_per_row = int(np.prod(column["shape"], dtype=np.int64)) * np.dtype(str(column["dtype"])).itemsize
            try:
                with (self.root / f"{name}.bin").open("wb") as file:
                    file.truncate(self.rows * bytes_per_row)
            except OSError as error:
                raise InputError(f"cannot write {self.root}: {error.strerror}; choose another cache folder") from error
        write_json(self.root / KEY, {"key": self.key, "columns": columns})
        self._open()

    def _open(self) -> None:
        entry = read_json(self.root / KEY)
        if not isinstance(entry, dict) or entry.get("key") != self.key:
            raise StoreError(f"{self.root} belongs to other pairs or another model; delete it")
        try:
            for name, column in entry["columns"].items():
                self._columns[name] = np.memmap(
                    self.root / f"{name}.bin",
                    dtype=np.dtype(column["dtype"]),
                    mode="r",
                    shape=(self.rows, *column["shape"]),
                )
        except (OSError, ValueError, KeyError) as error:
            raise StoreError(f"{self.root} is damaged ({error}); delete it to encode the pairs again") from error

    def _read_done(self) -> npt.NDArray[np.bool_]:
        path = self.root / DONE
        if not self._columns or not path.exists():
            return np.zeros(self.rows, dtype=np.bool_)
        try:
            done: npt.NDArray[np.bool_] = np.load(path)
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} is damaged ({error}); delete {self.root} to encode the pairs again") from error
        if done.shape != (self.rows,):
            raise StoreError(f"{path} counts {done.shape} rows instead of {self.rows}; delete {self.root}")
        return done
