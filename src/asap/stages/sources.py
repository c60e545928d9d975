"""A folder of photographs: which files there are, and what lies beside them that says what they show.

Captions come from ``NAME.txt`` beside ``NAME.jpg``, or from one ``metadata.jsonl`` or ``captions.jsonl`` at the top of
the folder (a JSON object a line with ``file_name`` and ``text``, as ``datasets`` reads an image folder).
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from asap.core.errors import InputError, PhotoError
from asap.core.photos import Photo
from asap.regions.reading import decode

__all__ = ["TABLES", "Source", "caption_of", "fit", "list_sources", "read"]

TABLES: Final = ("metadata.jsonl", "captions.jsonl")
GRID: Final = 8
"""Sides are cut to a multiple of it, because latents are eight times smaller."""
SIDECARS: Final = (".txt", ".json", ".jsonl", ".yaml", ".yml", ".md", ".csv")
"""Endings of files that accompany photographs and are none."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file of the folder."""

    number: int
    """Place in the sorted list of names; decides the indices of its pairs."""
    folder: str
    name: str
    """Path below the folder, with forward slashes."""
    caption: str = ""
    category: str = ""

    @property
    def path(self) -> Path:
        """Where it lies."""
        return Path(self.folder) / self.name

    def beside(self, ending: str) -> Path:
        """``NAME`` with another ending: a caption or a mask."""
        return self.path.with_suffix(ending)


def list_sources(folder: Path) -> list[Source]:
    """Every file below ``folder`` that could be a photograph, sorted by name; hidden files and sidecars are left out.

    A file with a wrong ending stays in the list: what it is shows when it is read.

    Raises:
        InputError: the folder is missing or has no such file, or its table of captions is damaged.
    """
    if not folder.is_dir():
        raise InputError(f"wanted a folder of photographs, {folder} is none; name an existing folder")
    names = sorted(_names(folder))
    if not names:
        raise InputError(f"{folder} holds no file that could be a photograph; put some into it")
    said = _table(folder)
    return [
        Source(
            number=number,
            folder=str(folder),
            name=name,
            caption=said.get(name, {}).get("text", ""),
            category=said.get(name, {}).get("category", ""),
        )
        for number, name in enumerate(names)
    ]


def caption_of(source: Source) -> str:
    """The caption of the table, or else of the text file beside the photograph; "" when nobody said."""
    if source.caption:
        return source.caption
    try:
        return " ".join(source.beside(".txt").read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError):
        return ""


def read(source: Source) -> Photo:
    """The photograph with its caption; raises ``PhotoError``."""
    try:
        data = source.path.read_bytes()
    except OSError as error:
        raise PhotoError("file_unreadable", f"cannot read {source.name}: {error.strerror or error}") from error
    return decode(data, source.name, caption=caption_of(source))


def fit(photo: Photo, size: int) -> Photo:
    """The photograph with its longer side at most ``size`` and both sides a multiple of ``GRID`` (cut evenly)."""
    height, width = photo.image.shape[:2]
    factor = min(1.0, size / max(height, width))
    image = photo.image
    if factor < 1.0:
        whole = (max(GRID, round(width * factor)), max(GRID, round(height * factor)))
        image = np.asarray(Image.fromarray(image).resize(whole, Image.Resampling.LANCZOS), dtype=np.uint8)
    rows, columns = (side // GRID * GRID for side in image.shape[:2])
    top, left = (image.shape[0] - rows) // 2, (image.shape[1] - columns) // 2
    cut = np.ascontiguousarray(image[top : top + rows, left : left + columns])
    return Photo(name=photo.name, digest=photo.digest, image=cut, caption=photo.caption, notes=photo.notes)


def _names(folder: Path) -> list[str]:
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        here = Path(root).relative_to(folder)
        found += [(here / name).as_posix() for name in files if not name.startswith(".") and _may_be_picture(name)]
    return found


def _may_be_picture(name: str) -> bool:
    stem, ending = os.path.splitext(name.lower())
    return ending not in SIDECARS and not stem.endswith(".mask") and ".mask." not in f"{stem}."


def _table(folder: Path) -> dict[str, dict[str, str]]:
    said: dict[str, dict[str, str]] = {}
    for path in (folder / table for table in TABLES if (folder / table).is_file()):
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                said[str(row["file_name"])] = {key: str(row[key]) for key in ("text", "category") if key in row}
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"line {number} of {path} wants a JSON object with file_name and text ({error}); mend it"
                ) from error
    return said
