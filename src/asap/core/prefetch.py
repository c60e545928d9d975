"""What later steps need, made by other threads while this step runs, so that a GPU does not wait for it."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Generic, TypeVar

__all__ = ["THREADS", "Prefetcher"]

T = TypeVar("T")
THREADS: Final = 4
"""That draw for a GPU: noise for a batch of 256 images takes one core longer than a GPU computes on it."""


class Prefetcher(Generic[T]):
    """``make(step)`` of whichever step is asked for; those of the next steps are begun.

    ``make`` must depend on the step's number alone, or the results would depend on the threads.
    """

    def __init__(self, make: Callable[[int], T], threads: int) -> None:
        """With 0 ``threads`` each result is made when it is asked for, by the thread that asks."""
        self._make, self._depth = make, 2 * threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="ahead") if threads else None
        self._begun: dict[int, Future[T]] = {}

    def __call__(self, step: int) -> T:
        """The result of ``step``; raises whatever ``make`` raised."""
        if self._pool is None:
            return self._make(step)
        wanted = range(step, step + self._depth)
        kept = {place: self._begun[place] for place in wanted if place in self._begun}
        self._begun = {place: kept.get(place) or self._pool.submit(self._make, place) for place in wanted}
        return self._begun[step].result()
