"""A folder of photographs: which files there are, and what lies beside them that says what they show.

Captions come from ``NAME.txt`` beside ``NAME.jpg``, or from one ``metadata.jsonl`` or ``captions.jsonl`` at the top of
the folder (a JSON object a line with ``file_name`` and ``text``, as ``datasets`` reads an image folder).
"""

import json
import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image
from scipy import ndimage

from asap.core.errors import InputError, PhotoError
from asap.core.photos import PartRegion, Photo
from asap.core.records import ByteArray
from asap.core.vocabulary import PARTS
from asap.regions.decoding import decode

__all__ = ["TABLES", "Source", "caption_of", "fit", "fit_part", "halved", "list_sources", "read", "sidecars"]

MASKS: Final = ".mask.png"
KEYPOINTS: Final = ".keypoints.json"
TABLES: Final = ("metadata.jsonl", "captions.jsonl")
GRID: Final = 8
"""Sides are cut to a multiple of it, because latents are eight times smaller."""
COLOUR: Final = 1.0
"""Pixels of the Gaussian by which colour is smoothed where an image is made half as large."""
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


def fit(photo: Photo, size: int, *, grid: int = GRID) -> Photo:
    """The photograph with its longer side at most ``size`` and both sides a multiple of ``grid`` (cut evenly)."""
    to = _fitted(photo.image.shape[:2], size, grid)
    image = photo.image
    if to.whole != image.shape[:2]:
        image = np.asarray(Image.fromarray(image).resize(to.whole[::-1], Image.Resampling.LANCZOS), dtype=np.uint8)
    return replace(photo, image=np.ascontiguousarray(image[to.cut]))


def fit_part(part: PartRegion, shape: tuple[int, int], size: int, *, grid: int = GRID) -> PartRegion | None:
    """A part of an image of ``shape`` (H, W) in the image as ``fit`` makes it; None when nothing of it is left."""
    to = _fitted(shape, size, grid)
    grey = Image.fromarray(part.mask.astype(np.uint8) * 255)
    mask = np.asarray(grey.resize(to.whole[::-1], Image.Resampling.BOX))[to.cut] > 127
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    points = part.keypoints.copy()
    points[:, :2] *= np.array(to.whole[::-1]) / np.array(shape[::-1])
    points[:, :2] -= (to.cut[1].start, to.cut[0].start)
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return replace(part, mask=mask, box=box, keypoints=points.astype(np.float32))


def halved(image: ByteArray) -> ByteArray:
    """(H, W, 3) at half the size, H and W even: brightness is the mean of four pixels, colour is smoothed further.

    JPEG keeps colour at half the resolution of brightness, so the finest band of colour reaches an octave lower; a
    Gaussian of ``COLOUR`` pixels takes it away. Brightness stays as it is.
    """
    height, width = image.shape[0] // 2, image.shape[1] // 2
    means = image.reshape(height, 2, width, 2, 3).mean(axis=(1, 3), dtype=np.float32)
    red, green, blue = means[:, :, 0], means[:, :, 1], means[:, :, 2]
    bright = (0.299 * red + 0.587 * green + 0.114 * blue)[:, :, None]
    colour = ndimage.gaussian_filter(means - bright, (COLOUR, COLOUR, 0), truncate=3.0)
    return np.asarray(np.clip(np.rint(bright + colour), 0, 255), dtype=np.uint8)


@dataclass(frozen=True)
class _Fitted:
    whole: tuple[int, int]
    """(H, W) after making smaller."""
    cut: tuple[slice, slice]


def _fitted(shape: tuple[int, ...], size: int, grid: int) -> _Fitted:
    factor = min(1.0, size / max(shape))
    whole = (max(grid, round(shape[0] * factor)), max(grid, round(shape[1] * factor)))
    kept = [side // grid * grid for side in whole]
    starts = [(side - length) // 2 for side, length in zip(whole, kept, strict=True)]
    cut = (slice(starts[0], starts[0] + kept[0]), slice(starts[1], starts[1] + kept[1]))
    return _Fitted(whole, cut)


def sidecars(source: Source) -> dict[str, bytes]:
    """The user's masks and keypoints beside a photograph: bytes by what follows its stem.

    Raises:
        InputError: one of them cannot be read.
    """
    found = {}
    for ending in _endings(str(source.path.parent)).get(source.path.stem, ()):
        path = source.path.with_name(source.path.stem + ending)
        try:
            found[ending] = path.read_bytes()
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    return found


@lru_cache(maxsize=4)
def _endings(folder: str) -> dict[str, list[str]]:
    """Stems of a folder and what follows them in the names of masks and keypoints."""
    found: dict[str, list[str]] = {}
    for name in sorted(os.listdir(folder)):
        for mark in (MASKS, KEYPOINTS):
            if name.endswith(mark):
                stem = _stem(name, mark)
                found.setdefault(stem, []).append(name[len(stem) :])
    return found


def _stem(name: str, mark: str) -> str:
    """``a.b`` of ``a.b.hand.left.1.mask.png``: what is before the words of a mask's name."""
    words = name[: -len(mark)].split(".")
    if mark == MASKS:
        words = words[:-1] if len(words) > 3 and words[-1].isdecimal() else words
        words = words[:-2] if len(words) > 2 and words[-2] in PARTS else words
    return ".".join(words)


def _names(folder: Path) -> list[str]:
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        here = Path(root).relative_to(folder)
        found += [(here / name).as_posix() for name in files if not name.startswith(".") and _may_be_image(name)]
    return found


def _may_be_image(name: str) -> bool:
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
