"""Registries with explicit registration: a name can be registered once, and an unknown name lists the known ones."""

from typing import Generic, TypeVar

from asap.core.errors import UnknownNameError

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Generic[T]):
    """Named values of one kind, for instance alignment methods; ``kind`` is the word used in messages."""

    def __init__(self, kind: str) -> None:
        """Start empty."""
        self.kind = kind
        self._values: dict[str, T] = {}

    def register(self, name: str, value: T) -> T:
        """Register ``value`` under ``name`` and return it.

        Raises:
            ValueError: the name is taken. This is an internal error: two modules claim it.
        """
        if name in self._values:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._values[name] = value
        return value

    def get(self, name: str) -> T:
        """The value under ``name``; raises ``UnknownNameError`` with the known names."""
        try:
            return self._values[name]
        except KeyError:
            raise UnknownNameError(self.kind, name, self._values) from None

    def names(self) -> tuple[str, ...]:
        """All names in the order of registration."""
        return tuple(self._values)

    def __contains__(self, name: object) -> bool:
        """Whether ``name`` is registered."""
        return name in self._values
