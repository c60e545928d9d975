"""Which of two models raters prefer, from votes on their images side by side."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from asap.benchmark.agreement import cohen_kappa
from asap.benchmark.metrics import clustered_mcnemar

__all__ = ["preference"]


def preference(votes: Sequence[Mapping[str, int]], prompts: Sequence[str]) -> dict[str, Any]:
    """Wins, ties and losses of a model against its base, by what most raters prefer at each place.

    Args:
        votes: for each pair of images at equal prompt and seed, by rater: 1 for the model's image, -1 for the base's,
            0 for neither. Pairs without a vote are left out.
        prompts: the prompt of each pair.

    Returns:
        ``win``, ``tie``, ``lose``, ``n`` (pairs), ``raters`` (names), ``kappa`` (Cohen, over pairs that two raters
        voted on; None if there are none) and ``p`` (two-sided sign test clustered by prompt; None without votes).
    """
    voted = [(vote, prompt) for vote, prompt in zip(votes, prompts, strict=True) if vote]
    leans = [int(np.sign(sum(vote.values()))) for vote, _ in voted]
    count, raters = Counter(leans), sorted({rater for vote, _ in voted for rater in vote})
    return {
        "win": count[1],
        "tie": count[0],
        "lose": count[-1],
        "n": len(voted),
        "raters": raters,
        "kappa": cohen_kappa([[vote.get(rater) for rater in raters] for vote, _ in voted]),
        "p": clustered_mcnemar(leans, [prompt for _, prompt in voted]) if voted else None,
    }
