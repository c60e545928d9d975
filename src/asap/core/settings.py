"""Typed settings: nested dataclasses that are read from plain values, and the limits of their numbers.

A setting is declared once, as a field with a type, a default and a docstring. ``build`` reads it from a YAML file or
from keywords, ``cli.app`` from a flag, and ``check`` refuses a number out of its ``Range`` wherever it came from.
"""

# ruff: noqa: ANN401  (types and values of any dataclass)
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from operator import attrgetter
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from asap.core.errors import ConfigError

__all__ = [
    "Fraction",
    "Natural",
    "NonNegative",
    "Positive",
    "PositiveFloat",
    "Range",
    "build",
    "check",
    "check_types",
    "names",
    "nearest",
    "nested",
]

T = TypeVar("T")
Name = Callable[[tuple[str, ...]], str]
"""Writes the path of a setting, for instance ``("optim", "lr")``, as the reader knows it."""
REQUIRED: Final = object()


@dataclass(frozen=True, kw_only=True)
class Range:
    """Limits of a number, for ``Annotated[int, Range(least=1)]``; such a number must be finite as well."""

    least: float = -math.inf
    above: float = -math.inf
    most: float = math.inf
    below: float = math.inf

    def __contains__(self, value: float) -> bool:
        return math.isfinite(value) and self.least <= value <= self.most and self.above < value < self.below

    def __str__(self) -> str:
        limits = {"at least": self.least, "above": self.above, "at most": self.most, "below": self.below}
        return " and ".join(f"{word} {limit:g}" for word, limit in limits.items() if math.isfinite(limit)) or "finite"


Positive = Annotated[int, Range(least=1)]
Natural = Annotated[int, Range(least=0)]
PositiveFloat = Annotated[float, Range(above=0)]
NonNegative = Annotated[float, Range(least=0)]
Fraction = Annotated[float, Range(least=0, most=1)]


def nearest(name: str, known: Iterable[str]) -> str:
    """``, did you mean X?`` with the known name that is most like ``name``, or else the list of known names."""
    listed = list(known)
    found = get_close_matches(name, listed, n=1, cutoff=0.5)
    return f", did you mean {found[0]}?" if found else f"; known: {', '.join(listed)}"


def build(kind: type[T], given: Mapping[str, Any], *, missing: object = REQUIRED, where: str = "") -> T:
    """An instance of the dataclass ``kind`` from plain values; sections are mappings, lists become tuples.

    Args:
        kind: fields of bool, int, float, str, ``Path``, ``Literal``, a mapping, a tuple, an optional one of these, or
            another such dataclass.
        given: values by field name; None keeps a field's default.
        missing: takes the place of a required field that is not given; by default that is an error.
        where: begins each fault, for instance the name of the file.

    Raises:
        ConfigError: unknown names (with the nearest known one), absent ones, values of another type or out of range;
            all of them in one message.
    """
    faults: list[str] = []
    found = _build(kind, given, (), missing, faults)
    if faults:
        raise ConfigError(where + "; ".join(faults))
    check(found, where=where)
    return found  # type: ignore[no-any-return]  # ``_build`` made it of ``kind``


def check(settings: object, *, name: Name = ".".join, where: str = "") -> None:
    """Refuse numbers out of their range, and what the ``faults`` method of a section finds.

    Raises:
        ConfigError: one message with all faults.
    """
    if faults := list(_faults(settings, (), name)):
        raise ConfigError(where + "; ".join(faults))


def check_types(settings: object) -> None:
    """Refuse values of another type or name than their field's; for settings that are not read by ``build``.

    Raises:
        ConfigError: one message with all faults.
    """
    faults = []
    for field, hint in _hints(type(settings)).items():
        value = getattr(settings, field)
        try:
            if value is not None and not dataclasses.is_dataclass(value):
                _fit(value, hint)
        except ValueError:
            faults.append(f"{field} must be {_words(hint)}, got {value!r}")
    if faults:
        raise ConfigError.collect(faults)


def names(kind: Any) -> dict[str, tuple[str, ...]]:
    """Path of every setting of a dataclass and its sections by its last name, for instance ``lr: (optim, lr)``."""
    found: dict[str, tuple[str, ...]] = {}
    for name, hint in _hints(kind).items():
        inner = {} if not dataclasses.is_dataclass(hint) else names(hint)
        found |= {last: (name, *path) for last, path in inner.items()} if inner else {name: (name,)}
    return found


def nested(kind: type, flat: Mapping[str, Any]) -> dict[str, Any]:
    """Values by the last names of their settings, put into sections for ``build``; unknown names stay at the top."""
    known = names(kind)
    found: dict[str, Any] = {}
    for name, value in flat.items():
        place = found
        *sections, last = known.get(name, (name,))
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return found


def _hints(kind: Any) -> dict[str, Any]:
    """Types of the fields of a dataclass."""
    known = get_type_hints(kind, include_extras=True)
    return {item.name: known[item.name] for item in dataclasses.fields(kind) if item.init}


def _build(kind: Any, given: Mapping[str, Any], path: tuple[str, ...], missing: object, faults: list[str]) -> Any:
    hints = _hints(kind)
    for name in sorted(given.keys() - hints.keys()):
        places = {last: ".".join((*path, *found)) for last, found in names(kind).items()}
        similar = get_close_matches(name, [*places, *hints], n=1, cutoff=0.5)
        hint = f", did you mean {places.get(similar[0], similar[0])}?" if similar else f"; known: {', '.join(hints)}"
        faults.append(f"unknown key {'.'.join((*path, name))!r}{hint}")
    values: dict[str, Any] = {}
    for item in filter(attrgetter("init"), dataclasses.fields(kind)):
        value, hint, where = given.get(item.name), hints[item.name], (*path, item.name)
        if dataclasses.is_dataclass(hint):
            if value is None or isinstance(value, Mapping):
                values[item.name] = _build(hint, value or {}, where, missing, faults)
            else:
                faults.append(f"{'.'.join(where)} must be a section of names and values, got {value!r}")
        elif value is not None:
            try:
                values[item.name] = _fit(value, hint)
            except ValueError:
                faults.append(f"{'.'.join(where)} must be {_words(hint)}, got {value!r}")
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            values[item.name] = missing
            if missing is REQUIRED:
                faults.append(f"{'.'.join(where)} is missing")
    return None if faults else kind(**values)


def _faults(settings: Any, path: tuple[str, ...], name: Name) -> Iterator[str]:
    for field, hint in _hints(type(settings)).items():
        value = getattr(settings, field)
        if dataclasses.is_dataclass(value):
            yield from _faults(value, (*path, field), name)
        limits = [item for item in _annotations(hint) if isinstance(item, Range)] or [Range()]
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, int | float) and any(each not in limit for limit in limits):
                yield f"{name((*path, field))} must be {' and '.join(map(str, limits))}, got {each}"
    if callable(own := getattr(settings, "faults", None)):
        yield from own()


def _annotations(hint: Any) -> Iterator[object]:
    """What ``Annotated`` says anywhere in a type."""
    if get_origin(hint) is Annotated:
        yield from hint.__metadata__
    for inner in get_args(hint):
        yield from _annotations(inner)


def _plain(hint: Any) -> Any:
    """A type without ``Annotated`` and ``| None``."""
    inner = get_args(hint)
    if get_origin(hint) is Annotated:
        return _plain(inner[0])
    if get_origin(hint) in (Union, UnionType):
        return _plain(next(item for item in inner if item is not NoneType))
    return hint


def _fit(value: Any, hint: Any) -> Any:
    """``value`` as ``hint`` wants it; raises ``ValueError`` if it is of another type."""
    kind = _plain(hint)
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if origin is tuple:
        items = value if isinstance(value, list | tuple) else [value]
        kinds = [inner[0]] * len(items) if inner[-1] is Ellipsis else inner
        return tuple(_fit(*pair) for pair in zip(items, kinds, strict=True))
    if origin is Path and isinstance(value, str):
        return Path(value)
    if origin is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    fits = value in inner if origin is Literal else isinstance(value, origin)
    if not fits or (origin is int and isinstance(value, bool)) or (origin is float):
        raise ValueError(value)
    return value


def _words(hint: Any) -> str:
    """The wanted type for people."""
    kind = _plain(hint)
    origin, inner = get_origin(kind), get_args(kind)
    words = {bool: "true or false", int: "a whole number", float: "a finite number", str: "text", Path: "a path"}
    if origin is Literal:
        text = f"one of {', '.join(map(str, inner))}"
    elif origin is tuple:
        text = "a list" if inner[-1] is Ellipsis else f"{len(inner)} values"
        text += f", each {_words(inner[0])}"
    else:
        text = words.get(kind, "names and values")
    return f"{text} or nothing" if NoneType in get_args(hint) else text
