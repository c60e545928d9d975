"""Policies that select pairs after several people reviewed them."""

from collections.abc import Iterable
from typing import Final

from asap.core.errors import UnknownNameError
from asap.review.records import Decision

__all__ = ["POLICIES", "accepted"]

POLICIES: Final = ("any", "all", "majority")


def accepted(decisions: Iterable[Decision], policy: str) -> bool:
    """Whether a pair is accepted: by any reviewer, by all who decided, or by more than half of them.

    ``unsure`` counts as not accepted. A pair without a decision is not accepted.

    Raises:
        UnknownNameError: no such policy.
    """
    votes = [decision.decision == "accept" for decision in decisions]
    if policy == "any":
        return any(votes)
    if policy == "all":
        return bool(votes) and all(votes)
    if policy == "majority":
        return 2 * sum(votes) > len(votes)
    raise UnknownNameError("policy", policy, POLICIES)
