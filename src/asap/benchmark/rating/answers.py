"""Answers of raters: what one may say, in which order a rater sees the images, and what several say together."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from asap.benchmark.verdict import Verdict
from asap.core.seeds import derive
from asap.core.vocabulary import PARTS

__all__ = ["ANSWERS", "majority", "order_of", "read_rating"]

ANSWERS: Final = ("right", "wrong", "cannot_tell")
LONGEST: Final = 86400.0
"""Seconds that a rating may claim to have taken."""
Row = Mapping[str, Any]


def order_of(digests: Sequence[str], rater: str) -> list[str]:
    """Each image once, in an order of the rater's own, so that models are mixed and no one sees all of one first."""
    return sorted(set(digests), key=lambda name: (derive(0, "rating", rater, name), name))


def read_rating(given: Row) -> dict[str, Any]:
    """Check a rating of the page (digest, answer, parts, seconds); raises ``ValueError`` with the first fault."""
    answer, parts, seconds = given["answer"], given["parts"], given["seconds"]
    if answer not in ANSWERS:
        raise ValueError(f"answer must be one of {', '.join(ANSWERS)}")
    if not isinstance(parts, list) or not all(part in PARTS for part in parts) or len(set(parts)) < len(parts):
        raise ValueError(f"parts must be among {', '.join(PARTS)}, each once")
    if bool(parts) and answer != "wrong":
        raise ValueError("parts go with the answer wrong")
    if type(seconds) not in (int, float) or not math.isfinite(seconds) or not 0 <= seconds <= LONGEST:
        raise ValueError(f"seconds must be from 0 to {LONGEST:.0f}")
    return {
        "digest": str(given["digest"]),
        "answer": answer,
        "parts": sorted(parts, key=PARTS.index),
        "seconds": round(float(seconds), 3),
    }


def majority(ratings: Mapping[str, Row], least: int) -> Verdict:
    """What more than half of those raters say who could tell; by rater.

    No verdict with fewer than ``least`` raters, or where halves disagree.
    """
    decided = {name: row for name, row in ratings.items() if row["answer"] != "cannot_tell"}
    wrong = [row for row in decided.values() if row["answer"] == "wrong"]
    fails, reason = None, ""
    if len(ratings) < least:
        reason = f"{len(ratings)} of {least} raters have seen it"
    elif not decided:
        reason = "nobody could tell"
    elif 2 * len(wrong) == len(decided):
        reason = "the raters disagree"
    else:
        fails = 2 * len(wrong) > len(decided)
    named = {part: sum(part in row["parts"] for row in wrong) / len(decided) for part in PARTS if decided}
    claimed = [part for part, share in named.items() if share > 0]
    return Verdict(
        fails=fails,
        probability=len(wrong) / len(decided) if decided else None,
        parts={part: {"visible": 1.0, "wrong": named[part]} for part in claimed},
        not_visible=(),
        attributes={},
        reason=", ".join(claimed) if fails else reason,
        details={"raters": {name: row["answer"] for name, row in ratings.items()}},
    )
