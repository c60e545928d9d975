"""What the votes about a picture's parts come to.

A part is what more than half of all votes that were asked for say; a failed vote counts among all and for nothing. So
with three votes two must agree, and a reply that cannot be read can never tip a part to a pass.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from asap.benchmark.verdict import Verdict
from asap.benchmark.vlm.answers import Answer
from asap.benchmark.vlm.questions import Look

__all__ = ["PartVotes", "decide", "tally"]

ERROR: Final = "error"
SPLIT: Final = "split"


@dataclass(frozen=True, kw_only=True)
class PartVotes:
    """All votes about one look at one part."""

    look: Look
    answers: tuple[Answer | None, ...]
    """One for each vote that was asked for; None where there is no readable reply."""
    faults: tuple[str, ...] = field(default=())
    """Why those are None."""

    @property
    def outcomes(self) -> tuple[str, ...]:
        """wrong, right, hidden, unsure or error, one for each vote."""
        return tuple(ERROR if answer is None else answer.outcome for answer in self.answers)

    @property
    def wrong(self) -> float:
        """Share of all votes that say wrong."""
        return self.outcomes.count("wrong") / len(self.answers)


def tally(votes: PartVotes) -> str:
    """wrong, right, hidden, unsure or error: what more than half say; split where nothing has so many votes.

    Where failed votes are the reason, it is an error.
    """
    outcome, count = Counter(votes.outcomes).most_common(1)[0]
    if 2 * count > len(votes.answers):
        return outcome
    return ERROR if ERROR in votes.outcomes else SPLIT


def decide(parts: Sequence[PartVotes], wanted: Sequence[str]) -> Verdict:
    """One verdict: wrong if any part is; else an error if any part is; a pass only if every part seen is right."""
    said = [(votes, tally(votes)) for votes in parts]
    by = {name: [votes for votes, outcome in said if outcome == name] for name in ("wrong", ERROR, "right", "hidden")}
    unclear = [votes for votes, outcome in said if outcome in (SPLIT, "unsure")]
    fails, reason = _verdict(by, unclear)
    seen = {votes.look.part for votes, outcome in said if outcome != "hidden"}
    asked = list(dict.fromkeys(votes.look.part for votes in parts))
    return Verdict(
        fails=fails,
        probability=max((votes.wrong for votes in parts), default=None),
        parts={
            part: {
                "visible": float(part in seen),
                "wrong": max(votes.wrong for votes in parts if votes.look.part == part),
            }
            for part in asked
        },
        not_visible=tuple(part for part in wanted if part not in seen),
        attributes={},
        reason=reason,
        error=fails is None and bool(by[ERROR]),
        details={"votes": [_record(votes) for votes in parts]},
    )


def _verdict(by: dict[str, list[PartVotes]], unclear: list[PartVotes]) -> tuple[bool | None, str]:
    """Whether it fails, and why."""
    if by["wrong"]:
        return True, "; ".join(_claim(votes) for votes in by["wrong"])
    if by[ERROR]:
        faults = [fault for votes in by[ERROR] for fault in votes.faults]
        return None, f"{by[ERROR][0].look.name}: {faults[0] if faults else 'no reply'}"
    if unclear:
        return None, f"no majority on {', '.join(votes.look.name for votes in unclear)}"
    return (False, "") if by["right"] else (None, "no part is visible")


def _claim(votes: PartVotes) -> str:
    """The defects claimed by votes, the most frequent first."""
    named = Counter(name for answer in votes.answers if answer for name in answer.defects)
    return f"{votes.look.name}: {', '.join(name for name, _ in named.most_common())}"


def _record(votes: PartVotes) -> dict[str, object]:
    """Plain values of one part's votes."""
    return {
        "part": votes.look.part,
        "side": votes.look.side,
        "box": None if votes.look.box is None else list(votes.look.box),
        "outcomes": list(votes.outcomes),
        "defects": [
            {name: list(box) for name, box in answer.defects.items()} if answer else None for answer in votes.answers
        ],
        "faults": list(votes.faults),
    }
