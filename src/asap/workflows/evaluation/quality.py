"""[generations] -> measures of preserved quality -> RUN/quality.json."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, overload

from asap.backbones.family import LoadOptions
from asap.benchmark.quality import DISTANCES, MEASURES, quality_of
from asap.core.errors import InputError, StoreError, UnknownNameError
from asap.core.files import read_json, write_json
from asap.core.hashing import digest_file, digest_json
from asap.core.records import ByteArray
from asap.stores.generations import GenerationStore
from asap.workflows.evaluation.images import image_files, read_image

__all__ = ["Measures", "measure_quality", "quality_file", "read_quality"]

FILE: Final = "quality.json"
Row = dict[str, Any]
Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Which measures to take, and with what; checked when it is made, before anything is drawn."""

    names: tuple[str, ...]
    """Of ``benchmark.quality.MEASURES``."""
    weights: Path | None = None
    """The user's folder, ``NAME/`` in it for each measure; the hub's cache where one lacks."""
    reference: Path | None = None
    """Folder of real images for FID and KID."""
    device: str = "auto"
    """Where the models run."""
    batch: int = 16
    """Images at a time."""

    def __post_init__(self) -> None:
        """Raise ``UnknownNameError`` for a measure that nobody knows, ``InputError`` for a folder that is not there."""
        for name in self.names:
            if name not in MEASURES:
                raise UnknownNameError("measure of quality", name, MEASURES)
        for folder, flag in ((self.weights, "--weights"), (self.reference, "--reference")):
            if folder is not None and not folder.is_dir():
                raise InputError(f"{flag} {folder} is no folder")
            if folder is not None and not self.names:
                raise InputError(f"{flag} is for measures of quality; name them with --quality")


def measure_quality(images: Path, measures: Measures, *, report: Report = lambda _: None) -> Path:
    """Take those measures that have not been taken of these images; returns the file, written anew after each.

    Args:
        images: what ``asap generate`` made; the file lies beside its folder.
        measures: which, and with what.
        report: is given a line now and then, and one for each measure that stays blank.

    Raises:
        InputError: a device that this machine lacks.
        StoreError: the images or the file cannot be read.
    """
    names, reference = measures.names, measures.reference
    store, path = GenerationStore.open(images), quality_file(images)
    files = image_files(reference) if reference else []
    of: dict[str, Row] = {name: {"pictures": store.content_hash} for name in names}
    if files and set(names) & set(DISTANCES):
        real = digest_json([digest_file(file) for file in files])
        of |= {name: {**of[name], "reference": real} for name in names if name in DISTANCES}
    kept = read_quality(path, None)
    todo = [name for name in names if not _taken(kept.get(name), of[name])]
    found = quality_of(
        _Pixels([partial(store.image, row) for row in store.rows]),
        [row.prompt for row in store.rows],
        clusters=[row.prompt_id for row in store.rows],
        names=todo,
        weights=measures.weights,
        reference=_Pixels([partial(read_image, file) for file in files]),
        device=LoadOptions(device=measures.device).settled().device,
        batch=measures.batch,
        report=lambda line: report(f"quality {line}"),
    )
    for name, row in found:
        kept[name] = {**row, **of[name]}
        write_json(path, kept)
        if row["value"] is None:
            report(f"quality {name} is left blank: {row['note']}")
    return path


def quality_file(images: Path) -> Path:
    """Where the measures of images lie."""
    return images.parent / FILE


def _taken(row: Row | None, of: Row) -> bool:
    """Whether a measure was taken of the same images."""
    return row is not None and row.get("value") is not None and all(row.get(key) == value for key, value in of.items())


def read_quality(path: Path, images: str | None) -> dict[str, Row]:
    """The measures in a file, by name; none where there is no file.

    Args:
        path: ``RUN/quality.json``.
        images: content hash of the images that they must be of; rows that name none are the user's own.

    Raises:
        StoreError: the file holds something else, or a measure of other images.
    """
    found = read_json(path) if path.is_file() else {}
    if not isinstance(found, dict) or not all(isinstance(row, dict) and "value" in row for row in found.values()):
        raise StoreError(f"{path} holds no measures; delete it and measure again with `asap bench run --quality`")
    if unknown := sorted(set(found) - set(MEASURES)):
        raise StoreError(f"{path} has unknown measures {', '.join(unknown)}; known: {', '.join(MEASURES)}")
    if others := [name for name, row in found.items() if images and row.get("pictures", images) != images]:
        raise StoreError(f"{path} has {', '.join(others)} of other images; measure again with `--quality`")
    return found


class _Pixels(Sequence[ByteArray]):
    """Images that are read when they are asked for."""

    def __init__(self, readers: Sequence[Callable[[], ByteArray]]) -> None:
        self._readers = readers

    def __len__(self) -> int:
        return len(self._readers)

    @overload
    def __getitem__(self, place: int) -> ByteArray: ...
    @overload
    def __getitem__(self, place: slice) -> list[ByteArray]: ...
    def __getitem__(self, place: int | slice) -> ByteArray | list[ByteArray]:
        if isinstance(place, slice):
            return [read() for read in self._readers[place]]
        return self._readers[place]()
