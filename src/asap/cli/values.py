"""Types of arguments: they check a range and say in words what was wanted."""

import argparse
import math
from collections.abc import Callable

__all__ = ["add_device", "fraction", "names", "natural", "non_negative", "positive", "positive_real", "setting"]


def positive(text: str) -> int:
    """A whole number of at least 1."""
    return _whole(text, 1)


def natural(text: str) -> int:
    """A whole number of at least 0."""
    return _whole(text, 0)


def positive_real(text: str) -> float:
    """A finite number above 0."""
    return _real(text, lambda value: value > 0, "a number above 0")


def non_negative(text: str) -> float:
    """A finite number of at least 0."""
    return _real(text, lambda value: value >= 0, "a number of at least 0")


def fraction(text: str) -> float:
    """A number in [0, 1]."""
    return _real(text, lambda value: 0 <= value <= 1, "a number from 0 to 1")


def names(text: str) -> tuple[str, ...]:
    """Names joined by commas."""
    found = tuple(name.strip() for name in text.split(","))
    if not all(found):
        raise argparse.ArgumentTypeError(f"want names joined by commas, got {text!r}")
    return found


def add_device(parser: "argparse._ActionsContainer") -> None:
    """The flag of everything that runs a network."""
    parser.add_argument("--device", default="auto", metavar="NAME", help="cpu, cuda, cuda:1 (a GPU if there is one)")


Value = bool | int | float | str


def setting(text: str) -> tuple[str, Value | tuple[Value, ...]]:
    """``NAME=VALUE`` as a pair; the value is read as true, false, a whole number, a number, or else as text.

    With commas it is a tuple of these, as in ``time_range=0.2,0.8``.
    """
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"want NAME=VALUE, got {text!r}")
    parts = tuple(_value(part.strip()) for part in value.split(","))
    return name, parts if len(parts) > 1 else parts[0]


def _value(text: str) -> Value:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _whole(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"want a whole number of at least {least}, got {text!r}")
    return value


def _real(text: str, holds: Callable[[float], bool], wanted: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or not holds(value):
        raise argparse.ArgumentTypeError(f"want {wanted}, got {text!r}")
    return value
