"""What a vision-language model is asked about anatomy, how its replies are read, and what its votes come to.

Pure: nothing here talks to a network. A model answers finger counts from prior knowledge if it is asked "is this
hand right?", so it is asked for what can be seen, part by part, visibility first and the verdict last.
"""

from asap.benchmark.vlm.answers import Answer, Unreadable, read_answer
from asap.benchmark.vlm.pairs import PAIR_SCHEMA, PairVote, decide_pair, pair_text, read_preference
from asap.benchmark.vlm.questions import CHECKS, QUESTIONS, Look, looks, part_schema, part_text
from asap.benchmark.vlm.votes import PartVotes, decide, tally

__all__ = [
    "CHECKS",
    "PAIR_SCHEMA",
    "QUESTIONS",
    "Answer",
    "Look",
    "PairVote",
    "PartVotes",
    "Unreadable",
    "decide",
    "decide_pair",
    "looks",
    "pair_text",
    "part_schema",
    "part_text",
    "read_answer",
    "read_preference",
    "tally",
]
