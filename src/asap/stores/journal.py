"""Rows appended to a JSON-lines file, one at a time and durably; a torn last line (a kill) is dropped on reopening."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asap.core.errors import InputError, StoreError
from asap.core.files import sync_folder
from asap.core.hashing import canonical_json

__all__ = ["Journal", "read_growing", "read_journal"]


class Journal:
    """An append-only list of JSON objects on disk."""

    def __init__(self, path: Path) -> None:
        """Open ``path``, cut off a torn tail, and read what is there.

        Raises:
            StoreError: a line other than the last is not a JSON object.
            InputError: the file cannot be written.
        """
        self.path = path
        self.rows: list[dict[str, Any]] = []
        self._broken = False
        try:
            if path.exists():
                self._repair()
            self._file = path.open("ab")
            sync_folder(path.parent)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror or error}") from error

    def append(self, row: Mapping[str, object]) -> None:
        """Add one row; when this returns it survives a kill or a power cut.

        After a failed write the content on disk is unknown, so rows are refused until the journal is opened again.

        Raises:
            InputError: the disk refuses, or did before.
            ValueError: a number is NaN or infinite.
        """
        line = canonical_json(row)
        if self._broken:
            raise InputError(f"{self.path} could not be written before; free disk space and start again")
        try:
            self._file.write(line.encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            self._broken = True
            raise InputError(f"cannot write {self.path}: {error.strerror or error}") from error
        self.rows.append(json.loads(line))

    def close(self) -> None:
        """Close the file; the rows stay readable."""
        self._file.close()

    def _repair(self) -> None:
        data = self.path.read_bytes()
        whole = _whole(data)
        self.rows = _parse(self.path, whole)
        if len(whole) < len(data):
            with self.path.open("r+b") as file:
                file.truncate(len(whole))


def read_journal(path: Path) -> list[dict[str, Any]]:
    """All rows of a finished journal.

    Raises:
        StoreError: it is missing or damaged.
    """
    try:
        return _parse(path, path.read_bytes())
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error


def read_growing(path: Path) -> list[dict[str, Any]]:
    """All complete rows of a journal that may be written at the same time; an incomplete last line is left out.

    Raises:
        StoreError: it is missing or damaged.
    """
    try:
        return _parse(path, _whole(path.read_bytes()))
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error


def _whole(data: bytes) -> bytes:
    """The lines that are complete."""
    return data[: data.rfind(b"\n") + 1]


def _parse(path: Path, data: bytes) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(data.splitlines(), 1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise StoreError(f"{path} is corrupt at line {number}; remove that line, or build the store again")
        rows.append(row)
    return rows
