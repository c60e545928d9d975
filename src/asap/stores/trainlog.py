"""The log of a training run: JSON lines, one a step, flushed as they come; a resumed run goes on where it resumes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asap.core.files import append_text, write_text
from asap.core.hashing import canonical_json

__all__ = ["TrainLog", "read_log"]

Row = dict[str, Any]


class TrainLog:
    """Rows have ``step``; a warning has ``warning`` besides, a look at what is not trained on ``validation``."""

    def __init__(self, path: Path, *, keep_below: int) -> None:
        """Open the log at ``path``; rows of steps from ``keep_below`` on are dropped, for they come again.

        Raises:
            InputError: the file cannot be written.
        """
        self.path = path
        kept = [row for row in read_log(path) if row["step"] < keep_below]
        self.rows = [row for row in kept if not {"warning", "validation"} & row.keys()]
        self.warnings = sum("warning" in row for row in kept)
        write_text(path, "".join(canonical_json(row) + "\n" for row in kept))

    def add(self, row: Mapping[str, float | None]) -> None:
        """Append one step's row."""
        self.rows.append(dict(row))
        self._append(row)

    def warn(self, step: int, text: str) -> None:
        """Append a warning."""
        self.warnings += 1
        self._append({"step": step, "warning": text})

    def validate(self, step: int, found: Mapping[str, object]) -> None:
        """Append what a validation after ``step`` came to."""
        self._append({"step": step, "validation": found})

    def tail(self, name: str, count: int) -> float | None:
        """Mean of a column over the last ``count`` rows that have it, None if none has."""
        values = [row[name] for row in self.rows[-count:] if row.get(name) is not None]
        return sum(values) / len(values) if values else None

    def _append(self, row: Mapping[str, object]) -> None:
        append_text(self.path, canonical_json(row) + "\n")


def read_log(path: Path) -> list[Row]:
    """All whole rows of a log; a line cut short by a kill is left out, a missing file has none."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
    return rows
