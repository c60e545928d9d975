"""Which pairs a step takes: shuffled passes over all of them, or over those of one shape at a time.

Latents of unlike shapes cannot lie in one batch. So each step takes all its pairs, over all micro-batches and
processes, from one shape: that which is furthest behind its share of the pairs. The pairs of a shape take turns in
shuffled passes of their own. All of it follows from (seed, step), the size of a step and the numbers of pairs, so that
a run resumes exactly and its batch can be split in any way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from asap.core.seeds import generator

__all__ = ["Order", "Turn", "slots_of_step"]


def slots_of_step(seed: int, step: int, batch: int, total: int) -> list[int]:
    """Pair indices of one optimizer step, one a slot: shuffled passes over all pairs, each pass in its own order.

    Args:
        seed: the run's seed.
        step: 0-based optimizer step.
        batch: pairs a step over all micro-batches and processes.
        total: number of pairs, >= 1.
    """
    places = range(step * batch, (step + 1) * batch)
    orders = {
        epoch: generator(seed, "order", epoch).permutation(total) for epoch in sorted({p // total for p in places})
    }
    return [int(orders[place // total][place % total]) for place in places]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What one step takes."""

    pairs: tuple[int, ...]
    """Index of the pair at each place of the step."""
    start: int
    """Places that pairs of this shape filled in earlier steps."""
    total: int
    """Pairs of this shape."""


class Order:
    """The turns of a run."""

    def __init__(self, seed: int, batch: int, groups: Sequence[Sequence[int]]) -> None:
        """Remember what the order follows from.

        Args:
            seed: the run's seed.
            batch: pairs a step over all micro-batches and processes, >= 1.
            groups: indices of the pairs by shape, none empty; a single group is one shape.
        """
        self.seed, self.batch = seed, batch
        self.groups = [tuple(group) for group in groups]
        self._turns: list[tuple[int, int]] = []
        self._taken = [0] * len(self.groups)

    def turn(self, step: int) -> Turn:
        """What the 0-based ``step`` takes."""
        number, earlier = self._shape_of(step)
        group = self.groups[number]
        slots = slots_of_step(self.seed, earlier, self.batch, len(group))
        return Turn(pairs=tuple(group[slot] for slot in slots), start=earlier * self.batch, total=len(group))

    def needed(self, steps: int) -> list[int]:
        """Sorted distinct pair indices that the first ``steps`` steps touch, so that no other pair need be encoded."""
        if steps:
            self._shape_of(steps - 1)
        found: set[int] = set()
        for number, group in enumerate(self.groups):
            taken = sum(shape == number for shape, _ in self._turns[:steps]) * self.batch
            if taken >= len(group):
                found.update(group)
            elif taken:
                first = generator(self.seed, "order", 0).permutation(len(group))[:taken]
                found.update(group[int(slot)] for slot in first)
        return sorted(found)

    def _shape_of(self, step: int) -> tuple[int, int]:
        """Number of the step's group, and how many steps before it took from the same."""
        counts = [len(group) for group in self.groups]
        while len(self._turns) <= step:
            place, total = len(self._turns) + 1, sum(counts)
            behind = [count * place - taken * total for count, taken in zip(counts, self._taken, strict=True)]
            number = behind.index(max(behind))
            self._turns.append((number, self._taken[number]))
            self._taken[number] += 1
        return self._turns[step]
