"""How the votes about the parts of an image are aggregated.

The outcome of a part is that of more than half of all votes. A failed vote counts in the total and for no outcome: with
three votes two must agree, and an unreadable reply can never make a part pass.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from asap.benchmark.verdict import Verdict
from asap.benchmark.vlm.answers import Answer
from asap.benchmark.vlm.questions import PartView

__all__ = ["PartVotes", "decide", "tally"]

ERROR: Final = "error"
SPLIT: Final = "split"


@dataclass(frozen=True, kw_only=True)
class PartVotes:
    """All votes about one part."""

    view: PartView
    answers: tuple[Answer | None, ...]
    """One per vote; None if there is no readable reply."""
    faults: tuple[str, ...] = field(default=())
    """Why there is none, one per None."""

    @property
    def outcomes(self) -> tuple[str, ...]:
        """wrong, right, hidden, unsure or error, one per vote."""
        return tuple(ERROR if answer is None else answer.outcome for answer in self.answers)

    @property
    def wrong(self) -> float:
        """Share of all votes that say wrong."""
        return self.outcomes.count("wrong") / len(self.answers)


def tally(votes: PartVotes) -> str:
    """The outcome of more than half of the votes; without such a majority error if a vote failed, else split."""
    outcome, count = Counter(votes.outcomes).most_common(1)[0]
    if 2 * count > len(votes.answers):
        return outcome
    return ERROR if ERROR in votes.outcomes else SPLIT


def decide(parts: Sequence[PartVotes], wanted: Sequence[str]) -> Verdict:
    """One verdict: wrong if any part is; else an error if any part is; a pass only if every part seen is right."""
    counted = [(votes, tally(votes)) for votes in parts]
    outcomes = ("wrong", ERROR, "right", "hidden")
    by = {name: [votes for votes, outcome in counted if outcome == name] for name in outcomes}
    unclear = [votes for votes, outcome in counted if outcome in (SPLIT, "unsure")]
    fails, reason = _verdict(by, unclear)
    seen = {votes.view.part for votes, outcome in counted if outcome != "hidden"}
    asked = list(dict.fromkeys(votes.view.part for votes in parts))
    return Verdict(
        fails=fails,
        probability=max((votes.wrong for votes in parts), default=None),
        parts={
            part: {
                "visible": float(part in seen),
                "wrong": max(votes.wrong for votes in parts if votes.view.part == part),
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
    """Whether the image fails, and why."""
    if by["wrong"]:
        return True, "; ".join(_claim(votes) for votes in by["wrong"])
    if by[ERROR]:
        faults = [fault for votes in by[ERROR] for fault in votes.faults]
        return None, f"{by[ERROR][0].view.name}: {faults[0] if faults else 'no reply'}"
    if unclear:
        return None, f"no majority on {', '.join(votes.view.name for votes in unclear)}"
    return (False, "") if by["right"] else (None, "no part is visible")


def _claim(votes: PartVotes) -> str:
    """The defects claimed by votes, the most frequent first."""
    named = Counter(name for answer in votes.answers if answer for name in answer.defects)
    return f"{votes.view.name}: {', '.join(name for name, _ in named.most_common())}"


def _record(votes: PartVotes) -> dict[str, object]:
    """One part's votes as JSON values."""
    return {
        "part": votes.view.part,
        "side": votes.view.side,
        "box": None if votes.view.box is None else list(votes.view.box),
        "outcomes": list(votes.outcomes),
        "defects": [
            {name: list(box) for name, box in answer.defects.items()} if answer else None for answer in votes.answers
        ],
        "faults": list(votes.faults),
    }
