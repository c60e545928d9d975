"""Reply store: raw replies of an endpoint by a key of the whole request, so that no request is paid for twice.

DIR/
  replies.jsonl   {"key", "text", "seconds"}, one line per reply, appended as it comes
  .lock           held by the one process that sends requests

A reply is handed to the operating system before it is used, so it survives a kill at any moment; what a power cut may
take is at most ``SYNC`` seconds of replies.
"""

import os
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from asap.core.errors import InputError
from asap.core.hashing import canonical_json
from asap.stores.journal import Journal
from asap.stores.lock import WriterLock

__all__ = ["ReplyStore"]

ROWS: Final = "replies.jsonl"
SYNC: Final = 1.0
"""Seconds between two syncs to disk."""


class ReplyStore:
    """One writer, many threads; a context manager."""

    def __init__(self, root: Path | str) -> None:
        """Open the store at ``root``, made if it is missing; a line that a kill cut short is dropped.

        Raises:
            InputError: the folder cannot be written.
            StoreError: another process asks at this moment, or the store is damaged.
        """
        self.root = Path(root)
        self._lock = WriterLock(self.root)
        try:
            journal = Journal(self.root / ROWS)
            journal.close()
            self._known = {str(row["key"]): str(row["text"]) for row in journal.rows}
            self._file = (self.root / ROWS).open("ab", buffering=0)
        except BaseException:
            self._lock.release()
            raise
        self._guard, self._synced = threading.Lock(), time.monotonic()

    def __enter__(self) -> "ReplyStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._guard:
            os.fsync(self._file.fileno())
            self._file.close()
        self._lock.release()

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: object) -> bool:
        return key in self._known

    def get(self, key: str) -> str | None:
        """The raw reply, or None where the question was never answered."""
        return self._known.get(key)

    def add(self, key: str, text: str, seconds: float) -> None:
        """Keep a reply; when this returns it survives a kill. Raises ``InputError`` if the disk refuses."""
        line = canonical_json({"key": key, "text": text, "seconds": round(seconds, 3)}).encode() + b"\n"
        with self._guard:
            try:
                written = self._file.write(line)
                if written != len(line):
                    raise InputError(f"cannot write {self.root / ROWS}: the disk took a part only; make room")
                if time.monotonic() - self._synced > SYNC:
                    os.fsync(self._file.fileno())
                    self._synced = time.monotonic()
            except OSError as error:
                raise InputError(f"cannot write {self.root / ROWS}: {error.strerror or error}") from error
            self._known[key] = text
