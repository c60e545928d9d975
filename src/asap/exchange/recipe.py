"""The recipe of a pair store, a few kilobytes of JSON: settings, versions and the hashes of the photographs.

Rendered people need nothing but the recipe. Photographs need the files, which the recipe names by SHA-256; captions and
categories are in the recipe, so that nothing else is needed beside them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from asap.core.errors import InputError
from asap.core.files import read_json, write_json

__all__ = ["ARGUMENTS", "Recipe", "read_recipe"]

FORMAT: Final = 1
KIND: Final = "pair recipe"
GUIDED: Final = (
    "count",
    "size",
    "seed",
    "namespace",
    "null_share",
    "operations",
    "painting",
    "screening",
    "perceptual",
)
BODIES: Final = ("count", "size", "seed", "namespace", "null_share", "operations", "scene", "chunk")
PHOTOS: Final = (
    "degrade",
    "per_image",
    "size",
    "seed",
    "null_share",
    "operations",
    "landmarker",
    "landmarker_options",
    "painting",
    "screening",
    "perceptual",
)
OWN: Final = (
    "count",
    "model",
    "seed",
    "scene",
    "steps",
    "guidance",
    "namespace",
    "screen",
    "draws",
    "whole",
)
ARGUMENTS: Final = {"bodies": BODIES, "guided": GUIDED, "own": OWN, "photographs": PHOTOS}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a pair store was built with; the same values build it again."""

    builder: str
    arguments: dict[str, Any]
    content_hash: str
    pairs: int
    versions: dict[str, str]
    instruments: list[dict[str, str]]
    sources: list[dict[str, str]]
    """Of photographs, in order: ``name`` and, where it could be read, ``sha256``; ``text`` and ``category``."""

    def write(self, path: Path) -> None:
        """Write as JSON, atomically. Raises ``InputError`` if the path cannot be written."""
        write_json(path, {"format": FORMAT, "kind": KIND, **vars(self)})


def read_recipe(path: Path) -> Recipe:
    """Read what ``Recipe.write`` wrote; raises ``InputError`` if the file is no recipe or has other settings."""
    found = read_json(path)
    if not isinstance(found, dict) or (found.get("format"), found.get("kind")) != (FORMAT, KIND):
        raise InputError(f"{path} is no recipe of format {FORMAT}; make one with `asap pairs recipe`")
    try:
        recipe = Recipe(**{key: value for key, value in found.items() if key not in ("format", "kind")})
        names = ARGUMENTS[recipe.builder]
    except (TypeError, KeyError) as error:
        raise InputError(f"{path} is a damaged recipe ({error}); make it anew with `asap pairs recipe`") from error
    if set(recipe.arguments) != set(names):
        raise InputError(f"{path} wants the settings {', '.join(names)}; got {', '.join(sorted(recipe.arguments))}")
    return recipe
