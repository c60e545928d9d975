"""Write the recipe of a pair store, from which ``workflows.pairs.rebuild`` builds it again."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

from asap import __version__
from asap.core.errors import InputError
from asap.core.files import read_json
from asap.core.manifest import environment
from asap.exchange.recipe import ARGUMENTS, Recipe
from asap.stores.config import NAME as CONFIG
from asap.stores.pairs import PairStore

__all__ = ["write_recipe"]


def write_recipe(folder: Path, out: Path) -> Path:
    """Write the recipe of the store at ``folder`` as JSON; returns ``out``.

    Raises:
        InputError: the store was imported or reviewed, not built.
        StoreError: no usable store.
    """
    store = PairStore.open(folder)
    manifest, builder = store.manifest, str(store.manifest.config.get("source"))
    if builder not in ARGUMENTS:
        raise InputError(
            f"{folder} was made by {builder}; only sets that were built have a recipe, so keep what it was made from"
        )
    config = {**cast("dict[str, object]", read_json(folder / CONFIG)), **manifest.config}
    recipe = Recipe(
        builder=builder,
        arguments={name: config.get(name) for name in ARGUMENTS[builder]},
        content_hash=store.content_hash,
        pairs=len(store),
        versions={**environment(), **manifest.versions, "asap-anatomy": __version__},
        instruments=[vars(instrument) for instrument in manifest.instruments],
        sources=list(_sources(store)),
    )
    recipe.write(out)
    return out


def _sources(store: PairStore) -> Iterator[dict[str, str]]:
    """All files of the folder of photographs in order, including those that could not be read."""
    said: dict[str, dict[str, str]] = {}
    for name, text, category in zip(*store.columns("source", "prompt", "category").values(), strict=True):
        said.setdefault(name, {"text": text, "category": category})
    for outcome in store.outcomes():
        name = str(outcome["name"])
        yield {"name": name, "sha256": str(outcome.get("digest", "")), **said.get(name, {})}
