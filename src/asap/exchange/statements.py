"""Statements of the owner of a data set on its sources: licence, consent and attribution by file name pattern.

A file of statements (YAML or JSON) has this form; the first pattern that matches a name applies::

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
    """The statement on the sources that match ``files``; empty fields are not stated."""

    files: str
    """Pattern with ``*`` and ``?`` over names with forward slashes; ``*`` also matches slashes."""
    licence: str = ""
    consent: str = ""
    """How the people in the images consented."""
    attribution: str = ""
    url: str = ""

    @property
    def complete(self) -> bool:
        """Both licence and consent are stated."""
        return bool(self.licence and self.consent)


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The statement on the data set as a whole."""

    name: str = ""
    licence: str = ""
    """An SPDX identifier, or text."""
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
"""The statement on rendered people: pairs without a source."""


@dataclass(frozen=True)
class Tally:
    """One line of the card: a statement, the number of sources it covers, and the number of their pairs."""

    statement: Statement
    sources: int
    pairs: int
    examples: tuple[str, ...]
    """Names of some sources."""


def parse_statements(value: object) -> tuple[Owner, tuple[Statement, ...]]:
    """Parse the content of a file of statements to owner and statements.

    Raises:
        ConfigError: another structure, unknown keys, or values that are not text; all faults at once.
    """
    if not isinstance(value, dict):
        raise ConfigError(f"statements must be an object with dataset and sources, got {type(value).__name__}")
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
        faults.append(f"{where} needs files, a pattern of names")
        plain["files"] = "*"
    return kind(**plain)


def tally(sources: Iterable[str], statements: Sequence[Statement], examples: int = 5) -> list[Tally]:
    """The numbers of sources and pairs that each statement covers; ``sources`` has the source of every pair.

    Sources without a matching pattern form a separate line with empty fields.
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
