"""The size limit of a cache of encoded pairs: which of its folders are in use, and which are removed first.

A cache holds one folder for each ``LatentStore``. A process that works with one holds a lock in it, so that no other
process removes it. Sizes are disk usage, because the stores' files are sparse.
"""

import contextlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from asap.core.errors import InputError, StoreError
from asap.core.files import TEMPORARY, read_json
from asap.stores.latents import KEY
from asap.stores.lock import NAME as LOCK
from asap.stores.lock import WriterLock, is_held

__all__ = ["GIGABYTE", "Cache", "room_taken"]

GIGABYTE: Final = 10**9
BLOCK: Final = 512
"""Bytes of a unit of ``st_blocks``."""


def room_taken(folder: Path) -> int:
    """Bytes that the files of a folder take on the disk; holes in them, and locks, are not counted."""
    taken = 0
    for path in folder.glob("*"):
        if path.name.startswith(LOCK):
            continue
        with contextlib.suppress(OSError):  # a file may go meanwhile
            found = path.stat()
            taken += getattr(found, "st_blocks", -(-found.st_size // BLOCK)) * BLOCK
    return taken


@dataclass(frozen=True)
class _Entry:
    folder: Path
    model: str
    used: float
    """Time of its last use."""
    room: int


class Cache:
    """A cache folder as one run uses it."""

    def __init__(self, root: Path, limit: float | None = None, *, holds: bool = True) -> None:
        """Name the folder.

        Args:
            root: parent folder of the stores.
            limit: most gigabytes (10^9 bytes) that all stores may take together; None: any.
            holds: whether ``hold`` does; not in the processes of a run beside the main one, which write nothing.
        """
        self.root, self.limit, self.holds = root, limit, holds
        self._held: dict[Path, WriterLock] = {}

    def hold(self, folder: Path) -> None:
        """Keep other processes from removing a store until ``release``, and record that it was used now.

        Raises:
            InputError: the folder cannot be written.
        """
        if not self.holds:
            return
        if folder not in self._held:
            self._held[folder] = WriterLock(folder, f"{LOCK}-{os.getpid()}")
        with contextlib.suppress(OSError):
            os.utime(folder / KEY)

    def release(self) -> None:
        """Release all stores."""
        for lock in self._held.values():
            lock.release()
        self._held.clear()

    def __enter__(self) -> "Cache":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def make_room(self, more: int, model: str) -> list[str]:
        """Remove stores until ``more`` bytes fit, the least recently used first, and those of other models before all.

        Stores in use, by any process, are never removed.

        Args:
            more: bytes that are still to be written.
            model: fingerprint of the model they belong to.

        Returns:
            Descriptions of the removed stores.

        Raises:
            InputError: the stores in use leave no room.
        """
        if self.limit is None:
            return []
        entries = sorted(self._entries(), key=lambda entry: (entry.model == model, entry.used))
        taken, allowed = sum(entry.room for entry in entries), self.limit * GIGABYTE
        removed = []
        for entry in entries:
            if taken + more <= allowed:
                break
            if not _in_use(entry.folder) and _remove(entry.folder):
                taken -= entry.room
                whose = "this model" if entry.model == model else "another model"
                removed.append(f"encoded pairs of {whose} ({_gigabytes(entry.room)}) from {entry.folder}")
        if taken + more > allowed:
            raise InputError(
                f"{self.root} holds {_gigabytes(taken)} that are in use and would need {_gigabytes(more)} more, but "
                f"cache_limit allows {_gigabytes(allowed)}; raise it, train fewer steps, or name another cache"
            )
        return removed

    def _entries(self) -> list[_Entry]:
        found = []
        for path in self.root.glob(f"*/{KEY}"):
            with contextlib.suppress(OSError, StoreError):  # removed meanwhile, or not a store
                entry = read_json(path)
                key = entry.get("key", {}) if isinstance(entry, dict) else {}
                if isinstance(key, dict) and "model" in key:
                    used = path.stat().st_mtime
                    found.append(_Entry(path.parent, str(key["model"]), used, room_taken(path.parent)))
        return found


def _in_use(folder: Path) -> bool:
    return any(is_held(path) for path in _locks(folder))


def _locks(folder: Path) -> Sequence[Path]:
    return list(folder.glob(f"{LOCK}*"))


def _remove(folder: Path) -> bool:
    """Remove a store, renamed first so that no half of it is ever read; False if it came into use."""
    away = folder.with_name(f"{TEMPORARY}{folder.name}")
    try:
        folder.rename(away)
        if _in_use(away):
            away.rename(folder)
            return False
    except OSError:
        return False
    shutil.rmtree(away, ignore_errors=True)
    return True


def _gigabytes(count: float) -> str:
    return f"{count / GIGABYTE:.3g} GB"
