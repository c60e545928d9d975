"""Manual review of pairs: a page to accept or refuse them, the resulting selection, and the agreement of reviewers.

This package opens no store. The page accesses the disk only through ``records.Pairs`` and ``records.Decisions``.
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
