"""Which pairs each step takes: shuffled passes over all of them, or over those of one shape at a time.

Latents of different shapes cannot be in one batch. So each step takes all its pairs, over all micro-batches and
processes, from one shape: the one that is furthest behind its share of the pairs. The pairs of a shape take turns in
shuffled passes of their own. All of it follows from (seed, step), the size of a step and the numbers of pairs, so a run
resumes exactly and its batch can be split in any way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from asap.core.seeds import generator

__all__ = ["PairSampler", "StepPairs", "shuffled_pairs"]


def shuffled_pairs(seed: int, step: int, batch: int, total: int) -> list[int]:
    """Pair indices of one optimizer step, one per slot, from shuffled passes over ``total`` pairs.

    Args:
        seed: the run's seed.
        step: 0-based optimizer step.
        batch: pairs per step, over all micro-batches and processes.
        total: number of pairs, >= 1.
    """
    places = range(step * batch, (step + 1) * batch)
    passes = {number: generator(seed, "order", number).permutation(total) for number in {p // total for p in places}}
    return [int(passes[place // total][place % total]) for place in places]


@dataclass(frozen=True, kw_only=True)
class StepPairs:
    """The pairs of one step."""

    pairs: tuple[int, ...]
    """Index of the pair in each slot of the step."""
    start: int
    """Slots that pairs of this shape filled in earlier steps."""
    total: int
    """Pairs of this shape."""


class PairSampler:
    """The pairs of every step of a run."""

    def __init__(self, seed: int, batch: int, groups: Sequence[Sequence[int]]) -> None:
        """Arguments that decide all steps.

        Args:
            seed: the run's seed.
            batch: pairs per step, over all micro-batches and processes, >= 1.
            groups: indices of the pairs of each shape, none empty; a single group is one shape.
        """
        self.seed, self.batch = seed, batch
        self.groups = [tuple(group) for group in groups]
        self._steps: list[tuple[int, int]] = []
        self._taken = [0] * len(self.groups)

    def step_pairs(self, step: int) -> StepPairs:
        """The pairs of the 0-based ``step``."""
        number, earlier = self._group_of(step)
        group = self.groups[number]
        places = shuffled_pairs(self.seed, earlier, self.batch, len(group))
        return StepPairs(pairs=tuple(group[place] for place in places), start=earlier * self.batch, total=len(group))

    def needed(self, steps: int) -> list[int]:
        """Sorted distinct indices of the pairs in the first ``steps`` steps, so that no other pair need be encoded."""
        if steps:
            self._group_of(steps - 1)
        found: set[int] = set()
        for number, group in enumerate(self.groups):
            taken = sum(chosen == number for chosen, _ in self._steps[:steps]) * self.batch
            if taken >= len(group):
                found.update(group)
            elif taken:
                first = generator(self.seed, "order", 0).permutation(len(group))[:taken]
                found.update(group[int(place)] for place in first)
        return sorted(found)

    def _group_of(self, step: int) -> tuple[int, int]:
        """Number of the step's group, and how many earlier steps took pairs from it."""
        counts = [len(group) for group in self.groups]
        while len(self._steps) <= step:
            steps, total = len(self._steps) + 1, sum(counts)
            behind = [count * steps - taken * total for count, taken in zip(counts, self._taken, strict=True)]
            number = behind.index(max(behind))
            self._steps.append((number, self._taken[number]))
            self._taken[number] += 1
        return self._steps[step]
