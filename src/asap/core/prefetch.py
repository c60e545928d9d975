"""Prefetch the results of later steps in threads while a step runs, so that a GPU does not wait for them."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Generic, TypeVar

__all__ = ["THREADS", "Prefetcher"]

T = TypeVar("T")
THREADS: Final = 4
"""Threads that sample noise for a GPU: noise for 256 images takes one core longer than the GPU needs to use it."""


class Prefetcher(Generic[T]):
    """Computes ``make(step)`` for the requested step and starts the next steps in threads.

    ``make`` must depend on ``step`` only, or the results would depend on the threads.
    """

    def __init__(self, make: Callable[[int], T], threads: int) -> None:
        """With 0 ``threads``, each result is computed in the calling thread when it is requested."""
        self._make, self._depth = make, 2 * threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="ahead") if threads else None
        self._begun: dict[int, Future[T]] = {}

    def __call__(self, step: int) -> T:
        """The result of ``step``; raises the exceptions of ``make``."""
        if self._pool is None:
            return self._make(step)
        wanted = range(step, step + self._depth)
        kept = {place: self._begun[place] for place in wanted if place in self._begun}
        self._begun = {place: kept.get(place) or self._pool.submit(self._make, place) for place in wanted}
        return self._begun[step].result()
