"""The model families, and loading of a model by its name, folder or hub id."""

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from asap.backbones.family import INDEX, Family, LoadOptions, device_named, read_settings
from asap.backbones.hub import fetch_index, fetch_pipeline
from asap.backbones.protocol import Backbone
from asap.core.errors import InputError, StoreError, UnknownNameError
from asap.core.registry import Registry

__all__ = ["FAMILIES", "MODELS", "families", "family_of", "find", "load"]

HUB_ID: Final = re.compile(r"[\w.-]+/[\w.-]+")
FAMILIES: Final = (
    "flux",
    "flux2",
    "mini",
    "qwen_image",
    "sana",
    "sd15",
    "sd3",
    "sdxl",
    "zimage",
)
"""The folders of this package that are model families. Each has a constant ``FAMILY`` in its ``__init__``, which
imports no diffusers, and a function ``load(folder, name, options)`` in ``backbone.py``."""
MODELS: Registry[Callable[[str], Backbone]] = Registry("model")
"""The embedded models: name -> a function that loads it onto a device of torch."""


def _mini(device: str) -> Backbone:
    from asap.backbones.mini.backbone import load_mini

    return load_mini(device)


def _tiny(device: str) -> Backbone:
    from asap.backbones.mini.backbone import load_tiny

    return load_tiny(device=device)


MODELS.register("mini", _mini)
MODELS.register("tiny", _tiny)


@cache
def families() -> tuple[Family, ...]:
    """All families, in the order of ``FAMILIES``."""
    return tuple(importlib.import_module(f"asap.backbones.{name}").FAMILY for name in FAMILIES)


def family_of(index: Mapping[str, Any], source: str) -> Family:
    """The family of a model_index.json; ``source`` is named in the message.

    Raises:
        InputError: no family supports it; the message lists what is supported.
    """
    for family in families():
        if family.knows(index):
            return family
    kind = index.get("_class_name")
    entries = {part: index.get(part) for family in families() if kind in family.pipelines for part in family.parts}
    parts = ", ".join(f"{part} {entry[-1]}" for part, entry in entries.items() if isinstance(entry, list) and entry)
    known = "; ".join(f"{family.name}: {', '.join(family.pipelines)}" for family in families())
    what = f"{kind} with {parts}" if parts else kind
    raise InputError(f"{source} is a {what}, which is not supported; supported are {known}")


def load(name_or_folder: str | Path, options: LoadOptions | None = None) -> Backbone:
    """A model by its registered name, its pipeline folder, or its id on the hub (OWNER/NAME).

    A hub model is downloaded on first use; with HF_HUB_OFFLINE set only the cache is read. Of ``options`` the embedded
    models (the registered names) take the device only.

    Raises:
        UnknownNameError: it is neither a known name nor a folder nor an id.
        StoreError: the folder holds no readable pipeline, or the hub has none of that id.
        InputError: no family supports the pipeline's class, the device is absent, or an embedded model is given
            options that it does not take.
        ConfigError: options are out of range.
    """
    name = str(name_or_folder)
    options = options or LoadOptions()
    if name in MODELS:
        if replace(options, device="auto", dtype="auto") != LoadOptions() or options.dtype not in ("auto", "float32"):
            raise InputError(f"{name} is loaded in float32 and as it is packaged; choose a device and nothing else")
        return MODELS.get(name)(device_named(options.device))
    options.settled()  # options are checked before anything is read
    family, folder = find(name, options)
    try:
        module: Any = importlib.import_module(f"asap.backbones.{family.name}.backbone")
        backbone: Backbone = module.load(folder, folder.name if Path(name).is_dir() else name, options)
    except ImportError as error:
        raise InputError(f"{name} is of the family {family.name}, which needs other packages: {error}") from error
    return backbone


def find(name: str, options: LoadOptions | None = None) -> tuple[Family, Path]:
    """The family of a pipeline folder or of a model on the hub, and its local folder; raises as ``load``."""
    folder, options = Path(name), options or LoadOptions()
    if not folder.is_dir() and not HUB_ID.fullmatch(name):
        if folder.is_absolute() or name.startswith((".", "~")):
            raise StoreError(f"there is no folder {name}; name a pipeline folder, a hub id OWNER/NAME or a known model")
        raise UnknownNameError("model", name, [*MODELS.names(), "a pipeline folder", "a hub id OWNER/NAME"])
    family = family_of(read_settings(fetch_index(name, options) / INDEX), name)
    return family, fetch_pipeline(name, options, family.unused)
