"""What the owner of a set says of its sources: licence, consent and attribution, by pattern of file names.

A file of statements (YAML or JSON) looks like this; the first pattern that fits a name counts::

    dataset: {name: Hands at work, licence: CC-BY-4.0, creator: Jane Doe}
    sources:
      - files: "studio/*"
        licence: CC-BY-4.0
        consent: written release of every person shown
        attribution: Jane Doe
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any, Final

from asap.core.errors import ConfigError

__all__ = ["NOT_STATED", "RENDERED", "Owner", "Statement", "Tally", "parse_statements", "tally"]

NOT_STATED: Final = "not stated"


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What is said of the sources whose names fit ``files``; empty where nothing is said."""

    files: str
    """Pattern with ``*`` and ``?`` over names with forward slashes; ``*`` also fits slashes."""
    licence: str = ""
    consent: str = ""
    """How the people shown agreed."""
    attribution: str = ""
    url: str = ""

    @property
    def complete(self) -> bool:
        """Both licence and consent are stated."""
        return bool(self.licence and self.consent)


@dataclass(frozen=True, kw_only=True)
class Owner:
    """What is said of the set as a whole."""

    name: str = ""
    licence: str = ""
    """An SPDX identifier, or words."""
    creator: str = ""
    url: str = ""
    description: str = ""
    citation: str = ""
    date: str = ""
    """Day of publication, YYYY-MM-DD."""


RENDERED: Final = Statement(
    files="",
    licence="Apache-2.0 (body model Anny) and CC0-1.0 (its MakeHuman data)",
    consent="none needed: nobody was photographed",
    attribution="Anny, github.com/naver/anny",
)
"""Of rendered people; a pair without a source is one."""


@dataclass(frozen=True)
class Tally:
    """One line of the card: a statement, how many sources it covers, and how many pairs are made of them."""

    statement: Statement
    sources: int
    pairs: int
    examples: tuple[str, ...]
    """Names of some sources."""


def parse_statements(value: object) -> tuple[Owner, tuple[Statement, ...]]:
    """Owner and statements out of what the file holds.

    Raises:
        ConfigError: another structure, unknown keys, or values that are no text; all faults at once.
    """
    if not isinstance(value, dict):
        raise ConfigError(f"statements want an object with dataset and sources, got {type(value).__name__}")
    faults = [f"unknown key {key!r} (known: dataset, sources)" for key in value if key not in ("dataset", "sources")]
    owner = _filled(Owner, value.get("dataset") or {}, "dataset", faults)
    rows = value.get("sources") or []
    if not isinstance(rows, list):
        faults.append(f"sources must be a list, got {type(rows).__name__}")
        rows = []
    statements = [_filled(Statement, row, f"source {number}", faults) for number, row in enumerate(rows, 1)]
    if faults:
        raise ConfigError.collect(faults)
    return owner, tuple(statements)


def _filled(kind: Any, row: object, where: str, faults: list[str]) -> Any:  # noqa: ANN401 - one of two dataclasses
    known = [item.name for item in fields(kind)]
    if not isinstance(row, dict):
        faults.append(f"{where} must be an object with {', '.join(known)}")
        row = {}
    faults += [f"{where}: unknown key {key!r} (known: {', '.join(known)})" for key in row if key not in known]
    plain = {key: str(item) for key, item in row.items() if key in known}
    faults += [f"{where}: {key} must be text" for key in plain if isinstance(row[key], dict | list)]
    if kind is Statement and not plain.get("files"):
        faults.append(f"{where} wants files, a pattern of names")
        plain["files"] = "*"
    return kind(**plain)


def tally(sources: Iterable[str], statements: Sequence[Statement], examples: int = 5) -> list[Tally]:
    """How many sources and pairs each statement covers; ``sources`` has the source of every pair.

    Sources that no pattern fits are one line of their own, with empty words.
    """
    pairs = Counter(sources)
    found: dict[Statement, list[str]] = {}
    for name in sorted(pairs):
        fitting = (one for one in statements if fnmatchcase(name, one.files))
        found.setdefault(next(fitting, Statement(files="*")) if name else RENDERED, []).append(name)
    return [
        Tally(one, len(names), sum(pairs[name] for name in names), tuple(names[:examples]))
        for one, names in found.items()
    ]
