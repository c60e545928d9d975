"""Work for the tests of engines, importable by worker processes."""

import os
import signal
import time
from pathlib import Path


def square(item: int) -> int:
    return item * item


def once_deadly(item: tuple[str, int]) -> int:
    """Kill the own process, once for each folder, at item 3."""
    folder, number = item
    mark = Path(folder) / "killed"
    if number == 3 and not mark.exists():
        mark.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    return number * 10


def always_deadly(item: int) -> int:
    if item == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def variable(name: str) -> str | None:
    return os.environ.get(name)


def own_number(_: int) -> int:
    """The process that runs it."""
    return os.getpid()
