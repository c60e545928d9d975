"""Which pairs are kept, when several people have looked at them."""

from collections.abc import Iterable
from typing import Final

from asap.core.errors import UnknownNameError
from asap.review.records import Decision

__all__ = ["POLICIES", "accepted"]

POLICIES: Final = ("any", "all", "majority")


def accepted(decisions: Iterable[Decision], policy: str) -> bool:
    """Whether a pair is kept: one accepted it, all who decided did, or more than half of them.

    ``unsure`` is a decision that does not accept. A pair on which nobody decided is not kept.

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
