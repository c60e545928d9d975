"""A pair in exchange formats: its images as bytes of image files, everything else as plain values."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

__all__ = ["IMAGES", "MARKER", "Format", "Refused", "SharedPair", "Summary", "file_key"]

MARKER: Final = "asap.json"
"""File at the top of every export: the origin of its pairs. A folder without it was made by another program."""
IMAGES: Final = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
"""File endings of images in folders."""
SAFE: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")


@dataclass(frozen=True, kw_only=True)
class SharedPair:
    """One pair as other tools hold it."""

    key: str
    """Name of its files: letters, digits, ``_`` and ``-``; unique in a set."""
    prompt: str
    chosen: bytes
    """An image file; PNG in our own exports."""
    rejected: bytes
    mask: bytes | None = None
    """Grey image file, white inside the touched region; None if unknown."""
    regions: bytes | None = None
    """Grey PNG of part ids; None if unknown."""
    split: str = ""
    """train, val or test; empty if unknown."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """The other columns of the pair store by name, as plain values; empty for pairs of other programs."""


@dataclass(frozen=True)
class Refused:
    """A row that gives no pair, and the reason."""

    reason: str
    """One word or several joined by ``_``, for counting."""
    detail: str = ""
    """What was expected and what was given."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Summary of a whole export, for the files that are written last."""

    home: str
    """Absolute path of the finished export."""
    sizes: Mapping[tuple[int, int], int]
    """How many pairs have each (width, height) in pixels."""
    splits: tuple[str, ...]
    """Splits that have pairs."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """The format of one tool: pure functions between pairs and named files."""

    name: str
    container: str
    """Container of the rows on disk: ``parquet``, ``tar`` or ``folder``."""
    shard: Callable[[str, int, Sequence[SharedPair]], Iterator[tuple[str, bytes]]]
    """(split, index of the shard in its split, its pairs) to (relative path in the export, content)."""
    closing: Callable[[Summary], Iterator[tuple[str, bytes]]]
    """Files that are written once, at the end."""
    columns: tuple[str, ...] = ()
    """Tables only: the columns that ``parse`` reads."""
    parse: Callable[[Mapping[str, object]], SharedPair | Refused] | None = None
    """Convert one row of the container to a pair; None if there is no import."""
    layout: Mapping[str, str] | None = None
    """Folders only: the relative path in the split, without ending, of chosen, rejected, mask and text."""


def file_key(uid: str) -> str:
    """``uid`` if it is a valid file name everywhere, else the first 32 digits of its SHA-256."""
    return uid if SAFE.fullmatch(uid) else sha256(uid.encode()).hexdigest()[:32]


def no_closing_note(_summary: Summary) -> Iterator[tuple[str, bytes]]:
    """No closing files."""
    return iter(())
