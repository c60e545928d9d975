"""Progress of long work on standard error; standard output stays the command's answer."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["progress"]

LINE_SECONDS: Final = 20.0
"""Between two lines where standard error is not a terminal."""


@contextmanager
def progress(name: str, total: int, *, done: int = 0, quiet: bool = False) -> Iterator[Callable[[int, str], None]]:
    """Show how far a piece of work is: a bar on a terminal, elsewhere a line now and then and one at the end.

    Args:
        name: of the work.
        total: number of its items.
        done: how many were done before.
        quiet: show nothing.

    Yields:
        A function that takes the number of items done and a few words to show beside it.
    """
    console = Console(stderr=True, quiet=quiet)
    if not console.is_terminal:
        yield _lines(console, name, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[words]}"), console=console) as bar:
        task = bar.add_task(name, total=total, completed=done, words="")

        def update(count: int, words: str) -> None:
            bar.update(task, completed=count, words=words)

        yield update


def _lines(console: Console, name: str, total: int) -> Callable[[int, str], None]:
    shown = time.monotonic()

    def update(count: int, words: str) -> None:
        nonlocal shown
        now = time.monotonic()
        if count >= total or now - shown >= LINE_SECONDS:
            shown = now
            console.print(f"{name} {count}/{total} {words}".rstrip(), highlight=False, markup=False, soft_wrap=True)

    return update
