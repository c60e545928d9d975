"""Keeps log lines and loading bars of libraries out of what commands print."""

import os
from typing import Final

__all__ = ["quiet_libraries"]

ENVIRONMENT: Final = {
    "DIFFUSERS_VERBOSITY": "error",
    "TRANSFORMERS_VERBOSITY": "error",
    "TQDM_DISABLE": "1",
}
"""Read by the libraries when they are imported. Bars of downloads from the Hub are not affected."""


def quiet_libraries() -> None:
    """Let libraries print errors only, in this process and those it starts; variables that are set already win.

    Call it before diffusers, transformers or tqdm is imported.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
