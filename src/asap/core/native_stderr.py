"""Silence native libraries that write to the standard error stream directly."""

import contextlib
import os
import sys
from collections.abc import Iterator

__all__ = ["silence_native_stderr"]


@contextlib.contextmanager
def silence_native_stderr() -> Iterator[None]:
    """Discard what native code writes to file descriptor 2; errors still arrive as exceptions.

    This affects the whole process, so the block should be short. Without a descriptor 2 it does nothing.
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
