"""Images made elsewhere (ComfyUI, an API, another program) to a store of generations.

Three layouts are read: GenEval's (``00000/metadata.jsonl`` with ``id`` or ``prompt``, ``00000/samples/0000.png``), flat
files named ``PROMPTID_SEED.png`` (also ComfyUI's ``PROMPTID_00001_.png``), and a list ``images.jsonl`` with ``file``,
``prompt_id`` or ``prompt``, and ``seed`` a line.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from asap.benchmark.suite import Suite, load_suite
from asap.core.errors import InputError, StoreError
from asap.core.hashing import digest_file, digest_json
from asap.core.manifest import Instrument, Manifest
from asap.core.records import ByteArray
from asap.stores.generations import GenerationWriter
from asap.workflows.evaluation.generate import limited
from asap.workflows.runtime.lineage import UNKNOWN_LINEAGE

__all__ = ["MISSING", "image_files", "import_images", "read_image"]

Report = Callable[[str], None]
Key = tuple[str, int]
SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".webp")
FLAT: Final = re.compile(r"(?P<id>.+?)_(?P<seed>\d+)_?")
MISSING: Final = "missing"
"""Note of a store: how many images of its prompts and seeds are not there."""


def import_images(
    out: Path,
    images: Path,
    *,
    suite: str | Path,
    name: str | None = None,
    limit: int | None = None,
    report: Report = lambda _: None,
) -> Path:
    """Take in every image of a folder, or go on; returns the folder of the store.

    Args:
        out: folder of the generations.
        images: where the images lie.
        suite: that they were drawn for: a name or a path.
        name: of the model that drew them; the folder's if None.
        limit: only this many prompts of each category.
        report: is given a line now and then.

    Raises:
        InputError: no image of the suite, a file that belongs to no prompt, or one that is no image.
        StoreError: a list cannot be read.
    """
    chosen = limited(load_suite(suite), limit)
    files = _found(images, chosen)
    seeds = sorted({seed for _, seed in files})
    missing = len(chosen.prompts) * len(seeds) - len(files)
    label = name or images.resolve().name
    fingerprint = digest_json({f"{key[0]}_{key[1]}": digest_file(path) for key, path in sorted(files.items())})
    config: dict[str, object] = {"model": label, "fingerprint": fingerprint, "adapter": None, "seeds": seeds}
    config |= {"suite": chosen.digest, "suite_name": chosen.title, "steps": None, "guidance": None}
    with GenerationWriter(out, config) as writer:
        _take_in(writer, chosen, files, report)
        writer.finish(
            Manifest(
                kind="generations",
                config=config,
                instruments=(Instrument("generator", label, fingerprint),),
                notes={UNKNOWN_LINEAGE: True, MISSING: missing, "ancestors": []},
            )
        )
    return out


def _take_in(writer: GenerationWriter, suite: Suite, files: Mapping[Key, Path], report: Report) -> None:
    """Copy the images that the store lacks."""
    places = {row.id: (place, row) for place, row in enumerate(suite.prompts)}
    todo = [key for key in sorted(files) if key not in writer.done()]
    for count, key in enumerate(todo, len(files) - len(todo) + 1):
        place, row = places[key[0]]
        image = read_image(files[key])
        writer.add(*key, image, prompt=row.prompt, category=row.category, extra=row.facts, place=place)
        if count % 100 == 0 or count == len(files):
            report(f"images {count}/{len(files)}")


def read_image(path: Path) -> ByteArray:
    """(H, W, 3) of a file; raises ``InputError`` where it is no image."""
    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path} is no image that can be read ({error}); remove it or make it anew") from error


def _found(images: Path, suite: Suite) -> dict[Key, Path]:
    """Prompt id and seed of every image; raises ``InputError`` for strangers, doubles, and an empty folder."""
    ids, texts = {row.id for row in suite.prompts}, {row.prompt: row.id for row in suite.prompts}
    found: dict[Key, Path] = {}
    strangers: list[str] = []
    for path, prompt, seed in _listed(images):
        name = prompt if prompt in ids else texts.get(prompt)
        if name is None or not path.is_file():
            strangers.append(str(path.relative_to(images) if path.is_relative_to(images) else path))
        elif (name, seed) in found:
            raise InputError(f"{path} and {found[name, seed]} are both prompt {name!r} with seed {seed}; keep one")
        else:
            found[name, seed] = path
    if strangers:
        raise InputError(
            f"{len(strangers)} files of {images} belong to no prompt of {suite.name} or are not there, for instance "
            f"{strangers[0]}; name them PROMPTID_SEED.png or list them in images.jsonl"
        )
    if not found:
        raise InputError(
            f"{images} holds no image of {suite.name}; name them PROMPTID_SEED.png, or see docs/guides/benchmark.md"
        )
    return found


def _listed(images: Path) -> Iterator[tuple[Path, str, int]]:
    """Path, prompt id or text, and seed of every file."""
    if (images / "images.jsonl").is_file():
        for row in _rows(images / "images.jsonl"):
            yield images / str(row["file"]), str(row.get("prompt_id") or row.get("prompt")), int(row["seed"])
        return
    folders = sorted(path.parent for path in images.glob("*/metadata.jsonl"))
    for folder in folders:
        line = next(iter(_rows(folder / "metadata.jsonl")), {})
        prompt = str(line.get("id") or line.get("prompt"))
        for place, path in enumerate(image_files(folder / "samples")):
            yield path, prompt, int(path.stem) if path.stem.isdigit() else place
    if folders:
        return
    for path in image_files(images):
        match = FLAT.fullmatch(path.stem)
        yield path, match["id"] if match else path.name, int(match["seed"]) if match else 0


def image_files(folder: Path) -> list[Path]:
    """Its images, sorted by name; raises ``InputError`` where it is no folder."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder of images")
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a list."""
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); want one JSON object a line") from error
    if any(not isinstance(row, dict) for row in rows):
        raise StoreError(f"{path} cannot be read; want one JSON object a line")
    if path.name == "images.jsonl" and any(not {"file", "seed"} <= set(row) for row in rows):
        raise StoreError(f"{path} needs file, seed, and prompt_id or prompt in each line")
    return rows
