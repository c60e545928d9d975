"""Strict parsing of replies: what violates the schema is unreadable, and an unreadable reply is never a pass."""

import json
from dataclasses import dataclass
from typing import Any

from asap.benchmark.vlm.questions import CHECKS, GRID, SAID, VERDICTS

__all__ = ["Answer", "Unreadable", "exact_json", "read_answer"]

Box = tuple[int, int, int, int]


class Unreadable(Exception):
    """The reply violates the schema; the message is the reason."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One reply about one part."""

    outcome: str
    """wrong, right, hidden (it cannot be seen) or unsure."""
    defects: dict[str, Box]
    """Checks answered with yes, and their boxes in thousandths of the whole image."""


def exact_json(text: str) -> dict[str, Any]:
    """The JSON object that ``text`` is, with nothing before or after it; raises ``Unreadable``."""
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Unreadable(f"want a JSON object, got {type(value).__name__}")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key occurs twice")
    return dict(pairs)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def read_answer(text: str, part: str) -> Answer:
    """Read a reply about ``part``.

    Raises:
        Unreadable: not JSON, not by the schema, or contradictory: a defect without a place, a wrong part without a
            defect, a defect on a part that passes or cannot be seen.
    """
    value = exact_json(text)
    _keys(value, {"visible", "checks", "verdict"}, "the reply")
    visible, verdict = _word(value["visible"], SAID, "visible"), _word(value["verdict"], VERDICTS, "verdict")
    checks = value["checks"]
    if not isinstance(checks, dict):
        raise Unreadable("checks is no object")
    _keys(checks, set(CHECKS[part]), "checks")
    defects = {name: box for name, check in checks.items() if (box := _check(name, check)) is not None}
    if bool(defects) != (verdict == "wrong"):
        raise Unreadable(f"contradiction: verdict {verdict}, but {len(defects)} checks are answered with yes")
    if visible != "yes" and verdict != "cannot_tell":
        raise Unreadable(f"contradiction: visible is {visible}, but the verdict is {verdict}")
    if visible != "yes":
        return Answer(outcome="hidden", defects={})
    return Answer(outcome="unsure" if verdict == "cannot_tell" else verdict, defects=defects)


def _check(name: str, value: object) -> Box | None:
    """The box of a check answered with yes, else None."""
    if not isinstance(value, dict):
        raise Unreadable(f"check {name} is no object")
    _keys(value, {"answer", "box"}, f"check {name}")
    said, box = _word(value["answer"], SAID, name), value["box"]
    if said != "yes":
        if box is not None:
            raise Unreadable(f"contradiction: check {name} is {said}, but has a box")
        return None
    whole = isinstance(box, list) and len(box) == 4 and all(type(side) is int and 0 <= side <= GRID for side in box)
    if not whole or not (box[0] < box[2] and box[1] < box[3]):
        raise Unreadable(f"check {name} is yes, but its box is {box!r}")
    return box[0], box[1], box[2], box[3]


def _keys(value: dict[str, Any], wanted: set[str], where: str) -> None:
    if set(value) != wanted:
        wrong = sorted(set(value) ^ wanted)
        raise Unreadable(f"{where} lacks or adds {', '.join(wrong)}")


def _word(value: object, known: tuple[str, ...], where: str) -> str:
    if not isinstance(value, str) or value not in known:
        raise Unreadable(f"{where} is {value!r}, not one of {', '.join(known)}")
    return value
