"""Align text-to-image models to plausible human anatomy with synthetic localized preferences (arXiv:2605.25759)."""

from importlib import metadata

__all__ = ["__version__"]

try:
    __version__ = metadata.version("asap-anatomy")
except metadata.PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"
