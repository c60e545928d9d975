"""Starts warp without its greeting, which would end up in what a command prints."""

from functools import lru_cache

import warp as wp


@lru_cache(maxsize=1)
def start_warp() -> None:
    """Start warp once; must run before anny is imported, because that starts warp with the greeting."""
    if hasattr(wp.config, "log_level"):
        wp.config.log_level = wp.LOG_WARNING
    else:  # releases that know no levels
        wp.config.quiet = True
    wp.init()
