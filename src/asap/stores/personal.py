"""A journal that one named person writes: a folder per person, locked by one server at a time."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

from asap.core.errors import InputError
from asap.stores.journal import Journal
from asap.stores.lock import WriterLock

__all__ = ["PersonalJournal"]

_J = TypeVar("_J", bound="PersonalJournal")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class PersonalJournal:
    """FOLDER/NAME/ROWS, held for writing; a context manager."""

    def __init__(self, folder: Path, name: str, rows: str, role: str) -> None:
        """Open the journal of ``name``, or start it; a line that a kill cut short is dropped.

        Args:
            folder: holds a folder for each person.
            name: of the person.
            rows: name of the file.
            role: role of the person, for messages and as the flag ``--ROLE``.

        Raises:
            InputError: the name cannot name a folder everywhere, or the disk refuses.
            StoreError: this person's server is running already, or the journal is damaged.
        """
        if not _NAME.fullmatch(name):
            raise InputError(
                f"a {role}'s name has lower-case letters, digits, '.', '_' and '-', at most 64, got {name!r}; "
                f"choose one with --{role}"
            )
        self._lock = WriterLock(folder / name)
        try:
            self._journal = Journal(folder / name / rows)
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self: _J) -> _J:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._journal.close()
        self._lock.release()

    def read(self) -> Sequence[Mapping[str, Any]]:
        """All lines, oldest first."""
        return self._journal.rows

    def append(self, row: Mapping[str, object]) -> None:
        """Add a line; when this returns it survives a kill. Raises ``InputError`` if the disk refuses."""
        self._journal.append(row)
