"""Atomic file writes: a temporary name in the same folder, fsync, then a rename."""

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from asap.core.errors import InputError, StoreError
from asap.core.hashing import to_plain

__all__ = [
    "TEMPORARY",
    "append_text",
    "make_folder",
    "read_json",
    "sync_folder",
    "write_bytes",
    "write_json",
    "write_pieces",
    "write_text",
]

TEMPORARY = ".tmp-"
"""Prefix of temporary files. A killed process may leave some behind; readers ignore them."""


def make_folder(path: Path | str) -> Path:
    """Make a folder and its parents if they are missing; returns its path.

    Raises:
        InputError: it cannot be made, or a file has that name.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the folder {folder}: {error.strerror or error}; choose a writable one"
        ) from error
    return folder


def write_bytes(path: Path | str, data: bytes | memoryview) -> None:
    """Write ``data`` to ``path`` atomically. After a crash, the file has either the old or the new content.

    Raises:
        InputError: the folder cannot be made or the file cannot be written.
    """
    write_pieces(path, [data])


def write_pieces(path: Path | str, pieces: Iterable[bytes | memoryview]) -> None:
    """``write_bytes`` of data that comes in pieces, one in memory at a time; raises the same."""
    target = Path(path)
    folder = make_folder(target.parent)
    temporary = folder / f"{TEMPORARY}{os.getpid()}-{target.name}"
    try:
        with temporary.open("wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        sync_folder(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise InputError(f"cannot write {target}: {error.strerror or error}") from error


def append_text(path: Path | str, text: str) -> None:
    """Append UTF-8 text to a file, not atomically. For logs, whose readers ignore an incomplete last line.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text atomically; raises as ``write_bytes``."""
    write_bytes(path, text.encode())


def write_json(path: Path | str, value: object) -> None:
    """Write ``value`` as JSON with sorted keys, indented, atomically; numpy values and paths are allowed.

    Raises:
        InputError: as ``write_bytes``.
        ValueError: a number is NaN or infinite.
    """
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False, default=to_plain)
    write_text(path, text + "\n")


def read_json(path: Path | str) -> object:
    """Read a JSON value from a file.

    Raises:
        StoreError: the file is missing, unreadable or not JSON.
    """
    try:
        value: object = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise StoreError(f"{path} is not valid JSON ({error}); delete it or create it again") from error
    return value


def sync_folder(folder: Path) -> None:
    """Flush the directory entries of ``folder`` to disk (POSIX only; other systems cannot open folders)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
