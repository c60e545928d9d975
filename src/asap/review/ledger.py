"""From the lines of a journal to what holds now: the last decision on each pair that was not undone.

Two kinds of line, told apart by ``action``: ``decide`` (the fields of ``Decision``), and ``undo``, which takes back the
last decision that stands; ``undoes`` is the number of that line, counted from 0.
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
            InputError: a line is neither a decision nor the undoing of the last one that stands.
        """
        self.lines = 0
        self._standing: list[tuple[int, Decision]] = []
        for row in rows:
            self.apply(row)

    @property
    def last(self) -> tuple[int, Decision] | None:
        """What an undo takes back, with the number of its line; None when nothing stands."""
        return self._standing[-1] if self._standing else None

    def current(self) -> dict[str, Decision]:
        """The decision that holds on each pair, by uid."""
        return {decision.uid: decision for _, decision in self._standing}

    def of(self, uid: str) -> Decision | None:
        """The decision that holds on one pair."""
        return next((decision for _, decision in reversed(self._standing) if decision.uid == uid), None)

    def apply(self, row: Row) -> Decision:
        """Take one more line; returns the decision that was made or taken back.

        Raises:
            InputError: as at the beginning.
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
                f"but an undo takes back the last decision that stands, and {wanted}"
            )
        return self._standing.pop()[1]


def decide_row(decision: Decision) -> dict[str, Any]:
    """The line that ``Ledger`` reads as ``decision``."""
    return {"action": "decide", **asdict(decision)}


def undo_row(undoes: int, decision: Decision, time: str) -> dict[str, Any]:
    """The line that takes back line ``undoes``, which held ``decision``."""
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
        raise InputError(f"line {number} of the journal is no decision and no undo; it may be of another version")
    return Decision(**values)
