"""How tyro reads the classes of commands: flat flags, lists, NAME=VALUE settings, and the word none for no value."""

import dataclasses
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args

from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

__all__ = ["CONFIG_MARKERS", "MARKERS", "REGISTRY"]

CONFIG_MARKERS: Final = (OmitArgPrefixes,)
"""Of commands that read a file: each switch has its opposite, so that a flag can win over the file."""
MARKERS: Final = (OmitArgPrefixes, FlagCreatePairsOff)
REGISTRY: Final = ConstructorRegistry()
NONE: Final = "none"


@REGISTRY.primitive_rule
def _optional(kind: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """``X | None`` is shown as ``X``; the word none gives None, for instance over the value of a file."""
    inner = get_args(kind.type)
    if kind.type_origin not in (Union, UnionType) or NoneType not in inner or len(inner) != 2:
        return None
    known = next(item for item in inner if item is not NoneType)
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(known, kind.markers))
    if not isinstance(spec, PrimitiveConstructorSpec):
        return None
    return dataclasses.replace(
        spec,
        instance_from_str=lambda words: None if words == [NONE] else spec.instance_from_str(words),
        is_instance=lambda value: value is None or spec.is_instance(value),
        str_from_instance=lambda value: [NONE] if value is None else spec.str_from_instance(value),
        choices=None if spec.choices is None else (*spec.choices, NONE),
    )


@REGISTRY.primitive_rule
def _list(kind: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[tuple[Any, ...]] | None:
    """``tuple[X, ...]`` takes any number of words; names out of a closed list may also be joined by commas."""
    inner = get_args(kind.type)
    if kind.type_origin is not tuple or inner[-1] is not Ellipsis:
        return None
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(inner[0], kind.markers))
    if not isinstance(spec, PrimitiveConstructorSpec) or spec.nargs != 1:
        return None

    def read(words: list[str]) -> tuple[Any, ...]:
        items = words if spec.choices is None else [name for word in words for name in word.split(",") if name]
        if spec.choices and (strange := [name for name in items if name not in spec.choices]):
            raise ValueError(f"unknown {', '.join(strange)}; choose from {', '.join(spec.choices)}")
        return () if words == [NONE] else tuple(spec.instance_from_str([item]) for item in items)

    return PrimitiveConstructorSpec(
        nargs="*",
        metavar=f"{spec.metavar} ...",
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, tuple) and all(map(spec.is_instance, value)),
        str_from_instance=lambda value: [word for item in value for word in spec.str_from_instance(item)] or [NONE],
    )


@REGISTRY.primitive_rule
def _settings(kind: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Mapping[str, object]] | None:
    """A mapping is written as ``NAME=VALUE NAME=VALUE``."""
    if not (isinstance(kind.type_origin, type) and issubclass(kind.type_origin, Mapping)):
        return None
    return PrimitiveConstructorSpec(
        nargs="*",
        metavar="NAME=VALUE ...",
        instance_from_str=lambda words: {} if words == [NONE] else dict(map(_setting, words)),
        is_instance=lambda value: isinstance(value, Mapping),
        str_from_instance=lambda value: [f"{name}={item}" for name, item in value.items()] or [NONE],
    )


def _setting(text: str) -> tuple[str, bool | int | float | str]:
    """``NAME=VALUE``; the value is read as true, false, a whole number, a number, or else as text."""
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise ValueError(f"want NAME=VALUE, got {text!r}")
    if value in ("true", "false"):
        return name, value == "true"
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value
