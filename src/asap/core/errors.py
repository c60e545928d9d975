"""The one tree of errors. Each message is one line: what was wanted, what came, what to do.

AsapError                      our own fault, exit code 1
└── InputError                 the caller's mistake, exit code 2
    ├── ConfigError            a setting is missing, unknown or out of range (all faults reported together)
    ├── UnknownNameError       a name that no registry knows; lists the known ones
    ├── MissingDependencyError an optional package is absent; gives the pip line
    ├── PhotoError             a file is no image that we can use; says the reason in one word
    ├── StoreError             a store is missing, corrupt, empty or locked
    └── TrainingError          the run cannot go on (the loss is not a number...)

An error's arguments are those that its class takes, so each crosses from a worker process to its parent unchanged.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar

__all__ = [
    "AsapError",
    "ConfigError",
    "InputError",
    "MissingDependencyError",
    "PhotoError",
    "StoreError",
    "TrainingError",
    "UnknownNameError",
]


class AsapError(Exception):
    """Root of the tree: a fault of ours that we noticed ourselves."""

    exit_code: ClassVar[int] = 1

    @property
    def line(self) -> str:
        """The message on one line, as the command prints it."""
        return " ".join(str(self).split())


class InputError(AsapError):
    """The caller asked for something that cannot be done."""

    exit_code: ClassVar[int] = 2


class ConfigError(InputError):
    """One or more settings are wrong; the message names them all."""

    @classmethod
    def collect(cls, faults: Sequence[str]) -> "ConfigError":
        """One error out of several faults, so that the caller repairs them in one go."""
        return cls("; ".join(faults))


class UnknownNameError(InputError):
    """A name that is not registered."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        """Say which ``kind`` of thing was wanted under which ``name``, and list the ``known`` names."""
        self.kind, self.name, self.known = kind, name, tuple(sorted(known))
        super().__init__(kind, name, self.known)

    def __str__(self) -> str:
        return f"unknown {self.kind} {self.name!r}; known: {', '.join(self.known) or 'none'}"


class MissingDependencyError(InputError):
    """An optional package is not installed."""

    def __init__(self, package: str, purpose: str) -> None:
        """Say what ``package`` (its pip name) is needed for."""
        self.package, self.purpose = package, purpose
        super().__init__(package, purpose)

    def __str__(self) -> str:
        wanted = f"{self.purpose} needs the package {self.package}, which is not installed"
        return f"{wanted}; run: pip install {self.package}"


class PhotoError(InputError):
    """A file is no image that we can use; ``reason`` is a short stable word, for counting."""

    def __init__(self, reason: str, message: str) -> None:
        """Give the ``reason`` (one of ``regions.decoding.REASONS``) and one line that names the file."""
        super().__init__(reason, message)
        self.reason, self.message = reason, message

    def __str__(self) -> str:
        return self.message


class StoreError(InputError):
    """A store on disk is missing, corrupt, empty, or locked by another process."""


class TrainingError(InputError):
    """A training run cannot go on, for instance because the loss is not a number."""
