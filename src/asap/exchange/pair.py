"""A pair on its way between tools: its images as the bytes of image files, everything else as plain values."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

__all__ = ["IMAGES", "MARKER", "Format", "Refused", "SharedPair", "Summary", "file_key"]

MARKER: Final = "asap.json"
"""File at the top of every export: what it was made from. A folder without it was made by somebody else."""
IMAGES: Final = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
"""Endings of images that are looked for in folders."""
SAFE: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")


@dataclass(frozen=True, kw_only=True)
class SharedPair:
    """One pair as other tools hold it."""

    key: str
    """Name of its files: letters, digits, ``_`` and ``-``; unique in a set."""
    prompt: str
    chosen: bytes
    """An image file; PNG when we wrote it."""
    rejected: bytes
    mask: bytes | None = None
    """Grey image file, white inside the touched region; None where nobody said."""
    regions: bytes | None = None
    """Grey PNG of part ids; None where nobody said."""
    split: str = ""
    """train, val or test; empty where nobody said."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """The other columns of the pair store by name, as plain values; empty for a pair that is not ours."""


@dataclass(frozen=True)
class Refused:
    """A row that gives no pair, and why."""

    reason: str
    """One word or a few joined by ``_``: it is counted."""
    detail: str = ""
    """What was wanted and what came."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a whole export holds, for the files that are written last."""

    home: str
    """Absolute path at which the export will lie."""
    sizes: Mapping[tuple[int, int], int]
    """How many pairs have each (width, height) in pixels."""
    splits: tuple[str, ...]
    """Splits that have pairs."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """How one tool wants pairs: pure functions between pairs and named files."""

    name: str
    container: str
    """How the rows lie on disk: ``parquet``, ``tar`` or ``folder``."""
    shard: Callable[[str, int, Sequence[SharedPair]], Iterator[tuple[str, bytes]]]
    """(split, number of the shard in its split, its pairs) to (path below the export, content)."""
    closing: Callable[[Summary], Iterator[tuple[str, bytes]]]
    """Files that are written once, at the end."""
    columns: tuple[str, ...] = ()
    """Of tables: the columns that ``parse`` looks at."""
    parse: Callable[[Mapping[str, object]], SharedPair | Refused] | None = None
    """One row as the container holds it, back to a pair; None where there is no import."""
    layout: Mapping[str, str] | None = None
    """Of folders: for chosen, rejected, mask and text the path of a pair below its split, without ending."""


def file_key(uid: str) -> str:
    """``uid`` where it can name a file everywhere, else the first 32 digits of its SHA-256."""
    return uid if SAFE.fullmatch(uid) else sha256(uid.encode()).hexdigest()[:32]


def no_closing_note(_summary: Summary) -> Iterator[tuple[str, bytes]]:
    """No closing files."""
    return iter(())
