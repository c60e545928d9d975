"""The exception tree. Each message is one line: what was expected, what was given, what to do.

AsapError                      an internal error, exit code 1
└── InputError                 an error of the caller, exit code 2
    ├── ConfigError            a setting is missing, unknown or out of range (all faults reported together)
    ├── UnknownNameError       a name that no registry knows; lists the known ones
    ├── MissingDependencyError an optional package is absent; gives the pip line
    ├── PhotoError             a file is not a usable image; has a reason of one word
    ├── StoreError             a store is missing, corrupt, empty or locked
    └── TrainingError          the run cannot continue (the loss is NaN, ...)

The arguments of an exception are those of its class, so that pickling between processes preserves it.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar

__all__ = [
    "AsapError",
    "BrokenImageError",
    "ConfigError",
    "InputError",
    "MissingDependencyError",
    "PhotoError",
    "StoreError",
    "TrainingError",
    "UnknownNameError",
]


class AsapError(Exception):
    """Root of the tree: an internal error that the program detected itself."""

    exit_code: ClassVar[int] = 1

    @property
    def line(self) -> str:
        """The message on one line, as the command prints it."""
        return " ".join(str(self).split())


class InputError(AsapError):
    """The caller asked for something that is not possible."""

    exit_code: ClassVar[int] = 2


class ConfigError(InputError):
    """One or more settings are wrong; the message names them all."""

    @classmethod
    def collect(cls, faults: Sequence[str]) -> "ConfigError":
        """One error for several faults, so that the caller can fix them together."""
        return cls("; ".join(faults))


class UnknownNameError(InputError):
    """A name that is not registered."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        """``kind`` is the kind of thing that was requested as ``name``; ``known`` lists the registered names."""
        self.kind, self.name, self.known = kind, name, tuple(sorted(known))
        super().__init__(kind, name, self.known)

    def __str__(self) -> str:
        return f"unknown {self.kind} {self.name!r}; known: {', '.join(self.known) or 'none'}"


class MissingDependencyError(InputError):
    """An optional package is not installed."""

    def __init__(self, package: str, purpose: str) -> None:
        """``purpose`` is what needs ``package`` (its pip name)."""
        self.package, self.purpose = package, purpose
        super().__init__(package, purpose)

    def __str__(self) -> str:
        wanted = f"{self.purpose} needs the package {self.package}, which is not installed"
        return f"{wanted}; run: pip install {self.package}"


class PhotoError(InputError):
    """A file is not a usable image; ``reason`` is a short stable word, for counting."""

    def __init__(self, reason: str, message: str) -> None:
        """``reason`` is one of ``regions.decoding.REASONS``; ``message`` is one line that names the file."""
        super().__init__(reason, message)
        self.reason, self.message = reason, message

    def __str__(self) -> str:
        return self.message


class BrokenImageError(InputError):
    """A diffusion model returned an image that holds values which are not finite."""


class StoreError(InputError):
    """A store on disk is missing, corrupt, empty, or locked by another process."""


class TrainingError(InputError):
    """A training run cannot continue, for instance because the loss is NaN."""
