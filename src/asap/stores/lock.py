"""One writer for each store: a lock file that names the process, taken over when that process is gone."""

import json
import os
import socket
from pathlib import Path
from types import TracebackType

import psutil

from asap.core.errors import InputError, StoreError
from asap.core.files import make_folder

__all__ = ["NAME", "WriterLock", "is_held"]

NAME = ".lock"


class WriterLock:
    """Held from construction to ``release`` (or the end of a ``with`` block).

    A process id may be given to a new process, so the lock also holds the time at which its owner started.
    """

    def __init__(self, root: Path, name: str = NAME) -> None:
        """Take the lock of the store at ``root``, making the folder if it is missing.

        Several writers that share a store's work each have a lock of another ``name``, all beginning with ``NAME``.

        Raises:
            StoreError: a living process holds it.
            InputError: the folder cannot be written.
        """
        self._path = make_folder(root) / name
        self._mine = {"pid": os.getpid(), "started": psutil.Process().create_time(), "host": socket.gethostname()}
        if not self._create():
            owner = self._owner()
            if owner is not None:
                raise StoreError(
                    f"{root} is being written by process {owner}; wait for it, or delete {self._path} if it is gone"
                )
            self._path.unlink(missing_ok=True)
            if not self._create():
                raise StoreError(f"{root} was taken by another process just now; wait for it")

    def release(self) -> None:
        """Release the lock; does nothing if another process has taken it over."""
        if self._read() == self._mine:
            self._path.unlink(missing_ok=True)

    def __enter__(self) -> "WriterLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _create(self) -> bool:
        try:
            with self._path.open("x", encoding="utf-8") as file:
                json.dump(self._mine, file)
        except FileExistsError:
            return False
        except OSError as error:
            raise InputError(f"cannot write {self._path}: {error.strerror or error}") from error
        return True

    def _owner(self) -> str | None:
        """The living owner as text, or None when the lock is stale or torn."""
        return _owner(self._path)

    def _read(self) -> object:
        return _read(self._path)


def is_held(path: Path) -> bool:
    """Whether a lock file names a process that lives (or one on another machine, of which nothing is known)."""
    return _owner(path) is not None


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _owner(path: Path) -> str | None:
    held = _read(path)
    if not isinstance(held, dict) or not isinstance(held.get("pid"), int):
        return None
    if held.get("host") != socket.gethostname():
        return f"{held['pid']} on {held.get('host')}"
    try:
        process = psutil.Process(held["pid"])
        alive = process.status() != psutil.STATUS_ZOMBIE and process.create_time() == held.get("started")
    except psutil.Error:
        return None
    return str(held["pid"]) if alive else None
