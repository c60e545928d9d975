"""Questions about anatomy for a vision-language model, how its replies are read, and how votes are aggregated.

Nothing here uses the network. Asked "is this hand right?", a model answers from prior knowledge; so it is asked what
can be seen, part by part, visibility first and the verdict last.
"""

from asap.benchmark.vlm.answers import Answer, Unreadable, read_answer
from asap.benchmark.vlm.pairs import PAIR_SCHEMA, PairVote, decide_pair, pair_text, read_preference
from asap.benchmark.vlm.questions import CHECKS, QUESTIONS, PartView, part_schema, part_text, part_views
from asap.benchmark.vlm.votes import PartVotes, decide, tally

__all__ = [
    "CHECKS",
    "PAIR_SCHEMA",
    "QUESTIONS",
    "Answer",
    "PairVote",
    "PartView",
    "PartVotes",
    "Unreadable",
    "decide",
    "decide_pair",
    "pair_text",
    "part_schema",
    "part_text",
    "part_views",
    "read_answer",
    "read_preference",
    "tally",
]
