"""Starts warp without its greeting and its remark that there is no GPU."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import warp as wp


@lru_cache(maxsize=1)
def start_warp() -> None:
    """Start warp once; must run before anny is imported, because that starts warp with the greeting."""
    if hasattr(wp.config, "log_level"):
        wp.config.log_level = wp.LOG_WARNING
    else:  # releases without log levels
        wp.config.quiet = True
    with _silent_stderr():
        wp.init()


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Inside, nothing reaches file descriptor 2, to which warp's native code writes past Python."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
