"""Printing what workflows return: JSON for programs, aligned lines for people."""

import json
import sys
from collections.abc import Mapping

__all__ = ["print_json", "print_lines", "tell"]


def print_json(value: object) -> None:
    """Print ``value`` as indented JSON with sorted keys."""
    from asap.core.hashing import to_plain  # loads numpy, which a help text need not wait for

    print(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=to_plain))


def print_lines(values: Mapping[str, object], indent: str = "") -> None:
    """Print one line for each value, names aligned.

    A mapping of plain values goes on one line as ``name value`` pairs; a mapping of mappings is a block of its own.
    """
    width = max(map(len, values), default=0)
    for name, value in values.items():
        if isinstance(value, Mapping) and any(isinstance(item, Mapping) for item in value.values()):
            sys.stdout.write(f"{indent}{name}\n")
            print_lines(value, indent + "  ")
        else:
            sys.stdout.write(f"{indent}{name:<{width}}  {_text(value)}\n")


def tell(line: str) -> None:
    """Print a line of progress on stderr, so that stdout holds results alone."""
    print(line, file=sys.stderr, flush=True)


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items()) or "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "unknown" if value is None else str(value)
