"""Run one function over many items in order: in a pool of processes on one machine, or by Ray Data on a cluster.

A worker that dies (killed, out of memory) costs the items it had under way, and these are run again: none is lost and
none comes twice, because a result counts only when it has come back whole.
"""

import os
import pickle
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any, Final, TypeVar

from asap.core.errors import AsapError, MissingDependencyError, UnknownNameError

__all__ = ["ENGINES", "in_order", "processes"]

T = TypeVar("T")
R = TypeVar("R")
ENGINES: Final = ("pool", "ray")
BREAKS: Final = 3
"""Deaths of a worker in a row, with no result between them, after which the item at the head is given up."""


_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def processes(workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of ``workers`` fresh processes of one thread each, unless the environment says how many threads.

    Workers whose libraries each start a thread a core fight for the cores: building pairs took half as long again.
    Libraries read these variables when they are loaded, so they are set while the pool lives and then put back.
    """
    ours = [name for name in _THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(ours, "1"))
    try:
        context = get_context("spawn")
        with ProcessPoolExecutor(max_workers=max(1, workers), mp_context=context, initializer=_end_with_parent) as pool:
            yield pool
    finally:
        for name in ours:
            os.environ.pop(name, None)


def _end_with_parent() -> None:
    """In a worker: end when the process that began it does, also by ``kill -9``; those of a pool wait on."""
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=watch, daemon=True).start()


def in_order(engine: str, function: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[tuple[T, R]]:
    """Each item with what ``function`` made of it, in the order of ``items``.

    Args:
        engine: ``pool`` or ``ray``.
        function: importable by name; called in another process.
        items: what to call it with; each must survive pickling.
        workers: processes, or the most tasks at once on the cluster.

    Raises:
        UnknownNameError: no such engine.
        MissingDependencyError: ray is not installed.
        AsapError: workers die again and again on one item.
    """
    if engine not in ENGINES:
        raise UnknownNameError("engine", engine, ENGINES)
    return (_pool if engine == "pool" else _ray)(function, items, max(1, workers))


def _pool(function: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[tuple[T, R]]:
    """One item more than there are workers is under way, so that none waits; that many results are in memory."""
    place, breaks = 0, 0
    while place < len(items):
        with processes(workers) as pool:
            waiting: deque[Future[R]] = deque()
            try:
                for ahead in range(place, len(items)):
                    waiting.append(pool.submit(function, items[ahead]))
                    if len(waiting) > workers:
                        yield items[place], waiting.popleft().result()
                        place, breaks = place + 1, 0
                while waiting:
                    yield items[place], waiting.popleft().result()
                    place, breaks = place + 1, 0
            except BrokenProcessPool as error:
                breaks += 1
                if breaks >= BREAKS:
                    raise AsapError(
                        f"a worker process died {BREAKS} times at item {place + 1} of {len(items)} (killed, or out of "
                        "memory); use fewer workers, or take that item away"
                    ) from error
            finally:
                for future in waiting:
                    future.cancel()


def _ray(function: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[tuple[T, R]]:
    """One block an item; Ray runs the tasks of a dead worker or node again by itself."""
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingDependencyError("ray[data]", "--engine ray") from error
    if not items:
        return
    begun = not ray.is_initialized()
    if begun:
        _start_local(ray, workers)
    try:
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        rows = [{"place": place, "item": pickle.dumps(item)} for place, item in enumerate(items)]
        blocks = ray.data.from_items(rows, override_num_blocks=len(rows))
        done = blocks.map(_Remote(function), concurrency=workers)
        for place, row in enumerate(done.iter_rows()):
            if row["place"] != place:
                raise AsapError(f"the cluster gave item {row['place']} in place of {place}; report this")
            yield items[place], pickle.loads(row["result"])
    finally:
        if begun:
            ray.shutdown()


def _start_local(ray: Any, workers: int) -> None:  # noqa: ANN401  (a module)
    """A cluster of this machine alone, for the time of the build; its workers see the modules that we see."""
    seen = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    ray.init(
        num_cpus=workers,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        runtime_env={"env_vars": seen},
    )


class _Remote:
    """A row with a pickled item becomes a row with a pickled result: a cluster's tables hold bytes well."""

    def __init__(self, function: Callable[[Any], object]) -> None:
        self.function = function

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Run the function in a worker of the cluster."""
        return {"place": row["place"], "result": pickle.dumps(self.function(pickle.loads(row["item"])))}
