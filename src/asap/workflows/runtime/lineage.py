"""Everything upstream of an artefact, as far as its manifests can be found."""

from pathlib import Path

from asap.core.errors import StoreError
from asap.core.manifest import Instrument, Manifest, Parent
from asap.workflows.runtime.trained import ADAPTER, DENOISER, trained_hash

__all__ = ["UNKNOWN_LINEAGE", "ancestors", "instruments_of", "model_parents", "parent_of", "trained_parent"]

MANIFEST = "manifest.json"
UNKNOWN_LINEAGE = "unknown_lineage"
"""Note of an artefact made from weights or images of which nobody knows what they were trained on."""


def ancestors(manifest: Manifest) -> list[Manifest]:
    """The manifest and those of its parents, their parents and so on; a parent that has been moved away is left out.

    Instruments are copied downstream by every stage, so a lost parent does not hide what its pairs were picked with.
    """
    found, seen, queue = [manifest], set[str](), list(manifest.parents)
    while queue:
        parent = queue.pop()
        path = Path(parent.path) / MANIFEST
        if str(path) in seen or not path.is_file():
            continue
        seen.add(str(path))
        found.append(Manifest.read(path))
        queue.extend(found[-1].parents)
    return found


def instruments_of(manifests: list[Manifest]) -> tuple[Instrument, ...]:
    """All instruments that the manifests name, once each, in order."""
    return tuple(dict.fromkeys(instrument for manifest in manifests for instrument in manifest.instruments))


def parent_of(folder: Path) -> tuple[Parent, list[Manifest]]:
    """A parent entry for the artefact in ``folder``, and the manifests of it and of all upstream.

    Raises:
        StoreError: it has no manifest, so nobody knows what made it.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise StoreError(f"{folder} has no {MANIFEST}, so it is not known what it was made from; make it with `asap`")
    manifest = Manifest.read(path)
    content = str(manifest.notes.get("content_hash") or manifest.fingerprint())
    return Parent(manifest.kind, str(folder.resolve()), content), ancestors(manifest)


def model_parents(model: str) -> list[tuple[Parent, list[Manifest]]]:
    """What ``parent_of`` says of a pipeline folder that ``asap fuse`` wrote; empty for any other model."""
    folder = Path(model)
    return [parent_of(folder)] if (folder / MANIFEST).is_file() else []


def trained_parent(folder: Path, *, foreign: bool = False) -> tuple[Parent, list[Manifest]]:
    """The same for what training left: a run, a snapshot of it, or the adapter or denoiser folder itself.

    A ``foreign`` adapter (a folder, or a .safetensors file) needs no manifest; its list of manifests is empty then.

    Raises:
        StoreError: there are no weights, or no manifest beside them or above.
    """
    inner = [folder / name for name in (ADAPTER, DENOISER) if (folder / name).is_dir()]
    weights = inner[0] if inner else folder
    for place in (weights, folder, folder.parent, folder.parent.parent):
        if (place / MANIFEST).is_file():
            manifest = Manifest.read(place / MANIFEST)
            return Parent(manifest.kind, str(place.resolve()), trained_hash(weights)), ancestors(manifest)
    if foreign:
        return Parent("adapter", str(weights.resolve()), trained_hash(weights)), []
    raise StoreError(f"no {MANIFEST} in {folder} or above it, so it is not known what it was made from; train again")
