"""Start warp without its banner, which would appear in the output of a command."""

from functools import lru_cache

import warp as wp

from asap.core.native_stderr import silence_native_stderr


@lru_cache(maxsize=1)
def start_warp() -> None:
    """Start warp once. Call it before anny is imported, because that import starts warp with the banner."""
    if hasattr(wp.config, "log_level"):
        wp.config.log_level = wp.LOG_WARNING
    else:  # releases without log levels
        wp.config.quiet = True
    with silence_native_stderr():  # warp's native code warns about an absent GPU
        wp.init()
