"""The kinds of images that a pair store and a run hold; see ``benchmark.domain``."""

from asap.benchmark.domain import Domain
from asap.stores.generations import GenerationStore
from asap.stores.pairs import PairStore
from asap.workflows.evaluation.images import MISSING
from asap.workflows.runtime.lineage import ancestors

__all__ = ["pair_domains", "run_domain"]


def pair_domains(store: PairStore) -> list[Domain]:
    """The domains of a pair store's split: edited renders, edited photographs, or both."""
    columns = store.columns("source", "width", "height")
    sizes = set(map(max, columns["width"], columns["height"]))
    scene = str(store.manifest.config.get("scene", ""))
    kinds = {"photographed" if source else "rendered" for source in columns["source"]}
    return [
        Domain(kind=kind, size=_only(sizes), scene=scene if kind == "rendered" else "")
        for kind in sorted(kinds, reverse=True)
    ]


def run_domain(images: GenerationStore) -> Domain:
    """The domain of a store of generations; its size is that of the first image.

    A model that ``asap fuse`` wrote counts as its origin, too. Images that were imported are of no known generator.

    Raises:
        StoreError: the first image is missing or damaged.
    """
    manifest = images.manifest
    fused = [one for one in ancestors(manifest) if one.kind == "model"]
    models = [str(one.config["model"]) for one in (manifest, *fused) if "model" in one.config]
    generators = [str(manifest.config["fingerprint"])] if "fingerprint" in manifest.config else []
    generators += [parent.content_hash for one in fused for parent in one.parents if parent.kind == "model"]
    return Domain(
        kind="imported" if MISSING in manifest.notes else "generated",
        models=tuple(dict.fromkeys(models)),
        generators=tuple(dict.fromkeys(generators)),
        size=max(images.image(images.rows[0]).shape[:2]),
    )


def _only(sizes: set[int]) -> int | None:
    return sizes.pop() if len(sizes) == 1 else None
