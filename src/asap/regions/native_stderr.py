"""Silence for native libraries that write to the standard error stream themselves, past Python."""

import contextlib
import os
import sys
from collections.abc import Iterator

__all__ = ["silence_native_stderr"]


@contextlib.contextmanager
def silence_native_stderr() -> Iterator[None]:
    """What is written to file descriptor 2 inside is dropped; errors still arrive as exceptions.

    The whole process is affected for that time, so hold it briefly. Without a descriptor 2 nothing is done.
    """
    with contextlib.ExitStack() as stack:
        try:
            kept = os.dup(2)
        except OSError:
            yield
            return
        stack.callback(os.close, kept)
        hole = os.open(os.devnull, os.O_WRONLY)
        stack.callback(os.close, hole)
        _flush()
        os.dup2(hole, 2)
        stack.callback(os.dup2, kept, 2)
        stack.callback(_flush)
        yield


def _flush() -> None:
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
