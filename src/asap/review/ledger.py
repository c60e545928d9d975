"""Replays a journal to the present decisions: the last decision on each pair that was not undone.

A line has one of two values of ``action``: ``decide`` (with the fields of ``Decision``), and ``undo``, which undoes the
last valid decision; ``undoes`` is the index of that line, counted from 0.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any

from asap.core.errors import InputError
from asap.review.records import DECISIONS, ERRORS, Decision, Row

__all__ = ["Ledger", "decide_row", "undo_row"]

_NAMES = {field.name for field in fields(Decision)}


class Ledger:
    """The decisions of one reviewer, replayed line by line."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        """Replay ``rows``.

        Raises:
            InputError: a line is neither a decision nor an undo of the last valid one.
        """
        self.lines = 0
        self._standing: list[tuple[int, Decision]] = []
        for row in rows:
            self.apply(row)

    @property
    def last(self) -> tuple[int, Decision] | None:
        """The decision that an undo removes and the index of its line, or None."""
        return self._standing[-1] if self._standing else None

    def current(self) -> dict[str, Decision]:
        """The present decision on each pair, by uid."""
        return {decision.uid: decision for _, decision in self._standing}

    def of(self, uid: str) -> Decision | None:
        """The present decision on one pair."""
        return next((decision for _, decision in reversed(self._standing) if decision.uid == uid), None)

    def apply(self, row: Row) -> Decision:
        """Replay one more line and return the decision that was made or undone.

        Raises:
            InputError: as in the constructor.
        """
        if row.get("action") == "undo":
            found = self._undo(row)
        else:
            found = _decision(row, self.lines)
            self._standing.append((self.lines, found))
        self.lines += 1
        return found

    def _undo(self, row: Row) -> Decision:
        last = self.last
        if last is None or row.get("undoes") != last[0]:
            wanted = "there is none" if last is None else f"that is line {last[0]}"
            raise InputError(
                f"line {self.lines} of the journal undoes line {row.get('undoes')}, "
                f"but an undo removes the last valid decision, and {wanted}"
            )
        return self._standing.pop()[1]


def decide_row(decision: Decision) -> dict[str, Any]:
    """The journal line for ``decision``."""
    return {"action": "decide", **asdict(decision)}


def undo_row(undoes: int, decision: Decision, time: str) -> dict[str, Any]:
    """The journal line that undoes line ``undoes``, which held ``decision``."""
    return {
        "action": "undo",
        "reviewer": decision.reviewer,
        "uid": decision.uid,
        "digest": decision.digest,
        "undoes": undoes,
        "time": time,
    }


def _decision(row: Row, number: int) -> Decision:
    values: Mapping[str, Any] = {name: value for name, value in row.items() if name != "action"}
    known = row.get("action") == "decide" and set(values) == _NAMES
    if not known or values["decision"] not in DECISIONS or values["error"] not in ("", *ERRORS):
        raise InputError(f"line {number} of the journal is neither decision nor undo; it may be from another version")
    return Decision(**values)
