"""recipe -> [pairs]: build a store again from its recipe (``workflows.datasets.recipe`` writes it)."""

import tempfile
from collections.abc import Mapping, Sequence
from glob import escape
from pathlib import Path
from typing import Final

from asap import __version__
from asap.core.errors import InputError, StoreError
from asap.core.hashing import canonical_json, digest_file
from asap.core.manifest import environment
from asap.core.settings import build
from asap.exchange.recipe import Recipe, read_recipe
from asap.workflows.pairs.builder import build_store
from asap.workflows.pairs.controlnet import ControlNet
from asap.workflows.pairs.filters import Screening
from asap.workflows.pairs.inpainting import Inpainting
from asap.workflows.pairs.on_policy import OnPolicy
from asap.workflows.pairs.photos import Photos
from asap.workflows.pairs.producer import PairProducer
from asap.workflows.pairs.rendered import Rendered

__all__ = ["rebuild"]

TABLE: Final = "metadata.jsonl"
BESIDE: Final = (".mask.png", ".keypoints.json")
"""Endings of the user's own files that a build reads beside a photograph."""
UNUSED: Final = ("chunk", "landmarker_options")
"""Settings that stand in recipes and do not decide the content."""
NAMED: Final = 5
"""Missing files that an error names; the rest are counted."""


def rebuild(recipe: Path, out: Path, *, source: Path | None = None, workers: int = 2) -> str:
    """Build the store of ``recipe`` at ``out`` and return its content hash, which is the recipe's.

    Args:
        recipe: what ``write_recipe`` wrote.
        out: folder of the store; a stopped rebuild goes on there.
        source: folder of the photographs, for a recipe of photographs; other files in it do not matter.
        workers: processes.

    Raises:
        InputError: not a recipe, photographs that are missing or not the same, or another setting of this version.
        StoreError: the result differs; the error says which versions do.
    """
    wanted = read_recipe(recipe)
    if wanted.builder != "photographs":
        found = build_store(out, _producer(wanted), workers=workers)
    else:
        if source is None:
            raise InputError(f"{recipe} is of {len(wanted.sources)} photographs: name their folder with --source")
        _check_sources(wanted.sources, source)
        with tempfile.TemporaryDirectory(prefix="asap-rebuild-") as staged:
            _stage(wanted.sources, source, Path(staged))
            found = build_store(out, _producer(wanted, Path(staged)), workers=workers)
    if found != wanted.content_hash:
        raise StoreError(
            f"{out} was built but has another content ({found[:16]}, wanted {wanted.content_hash[:16]}); "
            f"{_differing(wanted.versions)}"
        )
    return found


def _check_sources(sources: Sequence[Mapping[str, str]], folder: Path) -> None:
    """Raise ``InputError`` unless every photograph that counts lies in ``folder`` as it was."""
    faults = []
    for source in sources:
        path = folder / source["name"]
        if not path.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"a recipe names files below its folder, got {source['name']!r}")
        if not source["sha256"]:
            continue
        if not path.is_file():
            faults.append(f"{source['name']} is missing")
        elif digest_file(path) != source["sha256"]:
            faults.append(f"{source['name']} is another file")
    if faults:
        rest = f" and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise InputError(f"{folder} lacks photographs of the recipe: {'; '.join(faults[:NAMED])}{rest}")


def _stage(sources: Sequence[Mapping[str, str]], folder: Path, staged: Path) -> None:
    """Links to the photographs and to masks and keypoints beside them, and a table of captions, in a folder apart.

    A file that could not be read at first becomes an empty one: it holds its place in the numbering.
    """
    lines = []
    for source in sources:
        link, original = staged / source["name"], (folder / source["name"]).resolve()
        link.parent.mkdir(parents=True, exist_ok=True)
        if not source["sha256"]:
            link.touch()
            continue
        link.symlink_to(original)
        for beside in original.parent.glob(f"{escape(original.stem)}.*"):
            if beside.name.endswith(BESIDE) and not (link.parent / beside.name).exists():
                (link.parent / beside.name).symlink_to(beside)
        if "text" in source:
            row = {"file_name": source["name"], "text": source["text"], "category": source["category"]}
            lines.append(canonical_json(row))
    (staged / TABLE).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _producer(recipe: Recipe, source: Path | None = None) -> PairProducer:
    """The producer with the settings of a recipe; raises ``ConfigError`` where this version refuses them."""
    given = {name: value for name, value in recipe.arguments.items() if name not in UNUSED}
    painting, screening = given.pop("painting", None), given.pop("screening", None)
    kind: type[Rendered | ControlNet | OnPolicy | Photos | Inpainting]
    if recipe.builder == "photographs":
        kind = Photos if painting is None else Inpainting
    else:
        kind = {"bodies": Rendered, "guided": ControlNet}.get(recipe.builder, OnPolicy)  # type: ignore[assignment]
    if source is not None:
        given["source"] = source
    if painting is not None:
        given["diffusion"] = {name: value for name, value in painting.items() if name != "kind"}
        if kind is Inpainting:
            given["method"] = painting["kind"]
            del given["degrade"]
    if screening is not None:
        given["screen"] = Screening(**screening).text
    fields = {stored: name for name, stored in kind.stored.items()}
    return build(kind, {fields.get(name, name): value for name, value in given.items()})


def _differing(versions: Mapping[str, str]) -> str:
    """Which versions are not those of the recipe."""
    here = {**environment(), "asap-anatomy": __version__}
    faults = [
        f"{name} {here.get(name, 'absent')} here, {versions[name]} there"
        for name in sorted(versions)
        if here.get(name) != versions[name]
    ]
    return "; ".join(faults) if faults else "all versions are the same, so the machine or the sources differ"
