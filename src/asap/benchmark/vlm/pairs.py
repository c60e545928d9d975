"""Pairwise comparison of two images in both orders: a preference that changes with the order is a tie."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from asap.benchmark.vlm.answers import Unreadable, exact_json

__all__ = ["PAIR_SCHEMA", "PairVote", "decide_pair", "pair_text", "read_preference"]

CHOICES: Final = ("first", "second", "tie")
PAIR_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "defects_first": {"type": "array", "items": {"type": "string"}},
        "defects_second": {"type": "array", "items": {"type": "string"}},
        "better": {"type": "string", "enum": list(CHOICES)},
    },
    "required": ["defects_first", "defects_second", "better"],
    "additionalProperties": False,
}


@dataclass(frozen=True, kw_only=True)
class PairVote:
    """One vote: the same question in both orders."""

    forward: str | None
    """first, second or tie, with the model's image shown first; None: no readable reply."""
    backward: str | None
    """The same with the base's image shown first."""

    @property
    def outcome(self) -> str:
        """win, lose or tie for the model; error if an order has no reply; a tie if the orders disagree."""
        if self.forward is None or self.backward is None:
            return "error"
        outcomes = {("first", "second"): "win", ("second", "first"): "lose"}
        return outcomes.get((self.forward, self.backward), "tie")


def pair_text(prompt: str) -> str:
    """The question in words."""
    return (
        "Both pictures were made by programs that may draw people wrongly, for the same request. First list the "
        "visible defects of anatomy in each (hands, limbs, feet, faces, proportions), then say which has the better "
        "anatomy: first, second, or tie if neither is clearly better. Ignore style, taste, clothes and light.\n"
        f"The request was: {prompt}"
    )


def read_preference(text: str) -> str:
    """first, second or tie; raises ``Unreadable``."""
    value = exact_json(text)
    if set(value) != set(PAIR_SCHEMA["properties"]) or value["better"] not in CHOICES:
        raise Unreadable("the reply is not by the schema")
    lists = value["defects_first"], value["defects_second"]
    if not all(isinstance(items, list) and all(isinstance(item, str) for item in items) for items in lists):
        raise Unreadable("the defects are no lists of texts")
    return str(value["better"])


def decide_pair(votes: Sequence[PairVote]) -> str:
    """The outcome of more than half of the votes; without such a majority error if a vote failed, else tie."""
    outcomes = [vote.outcome for vote in votes]
    outcome, count = Counter(outcomes).most_common(1)[0]
    if 2 * count > len(outcomes):
        return outcome
    return "error" if "error" in outcomes else "tie"
