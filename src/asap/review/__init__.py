"""People look at pairs: a page to accept or refuse them, what their decisions come to, and how far reviewers agree.

Pure of stores: ``records.Pairs`` and ``records.Decisions`` are all that the page knows of the disk.
"""

from asap.review.agreement import Agreement, Kappa, agreement
from asap.review.app import Review, build_app, left_side
from asap.review.keys import COMMANDS, error_keys
from asap.review.ledger import Ledger
from asap.review.policy import POLICIES, accepted
from asap.review.records import DECISIONS, ERRORS, Decision, Decisions, PairFacts, Pairs, Row

__all__ = [
    "COMMANDS",
    "DECISIONS",
    "ERRORS",
    "POLICIES",
    "Agreement",
    "Decision",
    "Decisions",
    "Kappa",
    "Ledger",
    "PairFacts",
    "Pairs",
    "Review",
    "Row",
    "accepted",
    "agreement",
    "build_app",
    "error_keys",
    "left_side",
]
