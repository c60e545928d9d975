"""Run one function over many items in order: here, in a pool of processes, or by Ray Data on a cluster.

A worker that dies (killed, out of memory) costs the items it was working on, and these are run again: none is lost and
none comes twice, because a result counts only when it has come back whole.
"""

import os
import pickle
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from threading import Thread, current_thread, main_thread
from typing import Any, Final, TypeVar

from asap.core.errors import AsapError, MissingDependencyError, UnknownNameError

__all__ = ["ENGINES", "in_order", "processes"]

T = TypeVar("T")
R = TypeVar("R")
ENGINES: Final = ("serial", "pool", "ray")
"""In this process, in several processes of this machine, or on a cluster."""
BREAKS: Final = 3
"""Deaths of a worker in a row, with no result between them, after which the first item under way is given up."""
WAVE: Final = 64
"""Items per worker that Ray Data gets at once."""
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def processes(workers: int, start: Callable[[], object] | None = None) -> Iterator[ProcessPoolExecutor]:
    """A pool of ``workers`` fresh processes of one thread each, unless the environment says how many threads.

    ``start`` runs once in each process.

    Workers whose libraries each start a thread a core fight for the cores: building pairs took half as long again.
    Libraries read these variables when they are loaded, so they are set while the pool lives and then put back.
    """
    ours = [name for name in _THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(ours, "1"))
    try:
        context = get_context("spawn")
        with ProcessPoolExecutor(max(1, workers), context, _start_worker, (start,)) as pool:
            yield pool
    finally:
        for name in ours:
            os.environ.pop(name, None)


def _start_worker(start: Callable[[], object] | None) -> None:
    """In a worker: end when the process that began it does, also by ``kill -9``; those of a pool wait on."""
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=watch, daemon=True).start()
    if start is not None:
        start()


def in_order(
    engine: str,
    function: Callable[[T], R],
    items: Iterable[T],
    workers: int,
    *,
    wanted: Callable[[int], bool] = lambda _: True,
    start: Callable[[], object] | None = None,
) -> Iterator[tuple[T, R]]:
    """Each item with the result of ``function``, in the order of ``items``.

    Args:
        engine: of ``ENGINES``.
        function: importable by name; called in another process.
        items: arguments; each must survive pickling. They are taken only as they are needed.
        workers: processes, or the most tasks at once on the cluster.
        wanted: asked with the number of items under way, whether one more is to be begun; the caller may then end the
            iteration without waiting for results that it does not use. One item is always begun.
        start: called once in every process before its first item; processes may call it at the same moment.

    Raises:
        UnknownNameError: no such engine.
        MissingDependencyError: ray is not installed.
        AsapError: workers die again and again on one item.
    """
    if engine not in ENGINES:
        raise UnknownNameError("engine", engine, ENGINES)
    run = {"serial": _serial, "pool": _pool, "ray": _ray}[engine]
    return run(function, iter(items), max(1, workers), wanted, start or _nothing)


def _nothing() -> None:
    """No preparation."""


def _serial(
    function: Callable[[T], R],
    items: Iterator[T],
    workers: int,
    wanted: Callable[[int], bool],
    start: Callable[[], object],
) -> Iterator[tuple[T, R]]:
    del workers, wanted
    start()
    for item in items:
        yield item, function(item)


def _pool(
    function: Callable[[T], R],
    items: Iterator[T],
    workers: int,
    wanted: Callable[[int], bool],
    start: Callable[[], object],
) -> Iterator[tuple[T, R]]:
    """Twice as many items as there are workers are under way at most, so that none waits for a slow one."""
    ahead, done, breaks = deque[T](), 0, 0
    while True:
        with processes(workers, _Prepare(function, start)) as pool:
            futures = deque[Future[R]](_submit(pool, item) for item in ahead)
            try:
                while True:
                    while len(ahead) < 2 * workers and (not ahead or wanted(len(ahead))):
                        try:
                            ahead.append(next(items))
                        except StopIteration:
                            break
                        futures.append(_submit(pool, ahead[-1]))
                    if not ahead:
                        return
                    result = futures[0].result()
                    futures.popleft()
                    done, breaks = done + 1, 0
                    yield ahead.popleft(), result
            except BrokenProcessPool as error:
                breaks += 1
                if breaks >= BREAKS:
                    raise AsapError(
                        f"a worker process died {BREAKS} times at item {done + 1} (killed, or out of memory); use "
                        "fewer workers, or take that item away"
                    ) from error
            finally:
                for future in futures:
                    future.cancel()


def _submit(pool: ProcessPoolExecutor, item: T) -> "Future[Any]":
    """Submit an item; a process that this starts ignores Ctrl-C, which is for the process that asked."""
    if current_thread() is not main_thread():
        return pool.submit(_call, item)
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return pool.submit(_call, item)
    finally:
        signal.signal(signal.SIGINT, handler)


_WORKER: dict[str, Any] = {}
"""In a worker: the function, and the error of its preparation."""


class _Prepare:
    """Sets up a worker; the function is sent once to each process, not with every item."""

    def __init__(self, function: Callable[[Any], Any], start: Callable[[], object]) -> None:
        self.function, self.start = function, start

    def __call__(self) -> None:
        _WORKER["function"] = self.function
        try:
            self.start()
        except Exception as error:  # raised by the first item; an initializer that raises only breaks the pool
            _WORKER["error"] = error


def _call(item: T) -> Any:  # noqa: ANN401  (the function's own)
    if "error" in _WORKER:
        raise _WORKER["error"]
    return _WORKER["function"](item)


def _ray(
    function: Callable[[T], R],
    items: Iterator[T],
    workers: int,
    wanted: Callable[[int], bool],
    start: Callable[[], object],
) -> Iterator[tuple[T, R]]:
    """Waves of items, one block per item; Ray runs the tasks of a dead worker or node again by itself."""
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingDependencyError("ray[data]", "--engine ray") from error
    begun = not ray.is_initialized()
    try:
        context = None
        while wave := _wave(items, WAVE * workers, wanted):
            if context is None:
                start()  # on this machine; a cluster's nodes prepare themselves
                if begun:
                    _start_local(ray, workers)
                context = ray.data.DataContext.get_current()
                context.execution_options.preserve_order = True
                context.enable_progress_bars = False
            rows = [{"place": place, "item": pickle.dumps(item)} for place, item in enumerate(wave)]
            blocks = ray.data.from_items(rows, override_num_blocks=len(rows))
            done = blocks.map(_Remote(function), concurrency=workers)
            for place, row in enumerate(done.iter_rows()):
                if row["place"] != place:
                    raise AsapError(f"the cluster gave item {row['place']} in place of {place}; report this")
                yield wave[place], pickle.loads(row["result"])
    finally:
        if begun and ray.is_initialized():
            ray.shutdown()


def _wave(items: Iterator[T], most: int, wanted: Callable[[int], bool]) -> list[T]:
    wave: list[T] = []
    for item in items:
        wave.append(item)
        if len(wave) == most or not wanted(len(wave)):
            break
    return wave


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
