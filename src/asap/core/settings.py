"""Settings given by name, checked against the types that a dataclass declares for its fields."""

import math
from collections.abc import Mapping
from dataclasses import fields
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from asap.core.errors import ConfigError

__all__ = ["typed"]


def typed(given: Mapping[str, object], *kinds: type) -> dict[str, Any]:
    """The values with the types that the dataclasses want: 1 becomes 1.0 where a number is wanted, a list a tuple.

    Args:
        given: settings by name; names that no dataclass has are passed through.
        kinds: dataclasses with fields of bool, int, float, str, ``Literal``, tuples of these, or one of them or None.

    Raises:
        ConfigError: values of another type, or numbers that are not finite; each with its name and what was wanted.
    """
    hints: dict[str, Any] = {}
    for kind in kinds:
        known = get_type_hints(kind)
        hints |= {item.name: known[item.name] for item in fields(kind)}
    faults, found = [], dict(given)
    for name in sorted(hints.keys() & given.keys()):
        try:
            found[name] = _fit(given[name], hints[name])
        except ValueError:
            faults.append(f"{name} must be {_words(hints[name])}, got {given[name]!r}")
    if faults:
        raise ConfigError.collect(faults)
    return found


def _fit(value: object, hint: Any) -> object:  # noqa: ANN401  (a type)
    """``value`` as ``hint`` wants it; raises ``ValueError`` if it is of another type."""
    inner = get_args(hint)
    if NoneType in inner:
        return None if value is None else _fit(value, _known(inner))
    if get_origin(hint) is tuple and isinstance(value, list | tuple) and len(value) == len(inner):
        return tuple(_fit(*pair) for pair in zip(value, inner, strict=True))
    if get_origin(hint) is Literal and value in inner:
        return value
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if hint in (bool, int, str) and type(value) is hint:
        return value
    raise ValueError


def _known(inner: tuple[Any, ...]) -> Any:  # noqa: ANN401  (a type)
    """The type beside None."""
    return next(item for item in inner if item is not NoneType)


def _words(hint: Any) -> str:  # noqa: ANN401  (a type)
    """The wanted type for people."""
    inner = get_args(hint)
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if get_origin(hint) is tuple:
        return f"{len(inner)} values, each {_words(inner[0])}"
    if NoneType in inner:
        return f"{_words(_known(inner))} or nothing"
    words = {bool: "true or false", int: "a whole number", float: "a finite number", str: "text"}
    return words.get(hint, "names and values")
