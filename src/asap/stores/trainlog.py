"""The log of a training run: JSON lines, one per step, flushed as they come; a resumed run continues it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asap.core.errors import StoreError
from asap.core.files import append_text, write_text
from asap.core.hashing import canonical_json

__all__ = ["TrainLog", "read_log"]

Row = dict[str, Any]


class TrainLog:
    """Rows have ``step``; a warning has ``warning`` besides, a validation ``validation``."""

    def __init__(self, path: Path, *, done: int, first: int = 0, phase: str = "") -> None:
        """Open the log at ``path``; rows of later steps are dropped, because these steps are taken again.

        Args:
            path: the file.
            done: steps taken before.
            first: number of the first step, 0 or 1.
            phase: of a run that has several, each with steps of its own; ``phase`` is then a column.

        Raises:
            InputError: the file cannot be written.
            StoreError: the file cannot be read.
        """
        self.path, self.first, self.phase = path, first, {"phase": phase} if phase else {}
        known = read_log(path)
        kept = [row for row in known if row["step"] < done + first or row.get("phase", "") != phase]
        own = [row for row in kept if row.get("phase", "") == phase]
        self.rows = [row for row in own if not {"warning", "validation"} & row.keys()]
        self.warnings = sum("warning" in row for row in own)
        write_text(path, "".join(canonical_json(row) + "\n" for row in kept))

    def add(self, done: int, row: Mapping[str, object]) -> None:
        """Append the row of the step that made ``done`` steps."""
        found = self._append(done, row)
        self.rows.append(found)

    def warn(self, done: int, text: str) -> None:
        """Append a warning."""
        self.warnings += 1
        self._append(done, {"warning": text})

    def validate(self, done: int, found: Mapping[str, object]) -> None:
        """Append the result of a validation."""
        self._append(done, {"validation": found})

    def tail(self, name: str, count: int) -> float | None:
        """Mean of a column over the last ``count`` rows that have it, None if none has."""
        values = [row[name] for row in self.rows[-count:] if row.get(name) is not None]
        return sum(values) / len(values) if values else None

    def _append(self, done: int, values: Mapping[str, object]) -> Row:
        row = {**self.phase, "step": done - 1 + self.first, **values}
        append_text(self.path, canonical_json(row) + "\n")
        return row


def read_log(path: Path) -> list[Row]:
    """All complete rows of a log; a line cut short by a kill is left out, a missing file has none.

    Raises:
        StoreError: the file cannot be read.
    """
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    rows = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
    return rows
