"""Names of the models that can be loaded."""

from collections.abc import Callable
from pathlib import Path

from asap.backbones.protocol import Backbone
from asap.core.errors import UnknownNameError
from asap.core.registry import Registry

__all__ = ["MODELS", "load"]

MODELS: Registry[Callable[[], Backbone]] = Registry("model")
"""Known names and how to load each; a value is called without arguments."""


def _mini() -> Backbone:
    from asap.backbones.mini import load_mini

    return load_mini()


def _tiny() -> Backbone:
    from asap.backbones.mini import load_tiny

    return load_tiny()


MODELS.register("mini", _mini)
MODELS.register("tiny", _tiny)


def load(name_or_folder: str | Path) -> Backbone:
    """A model by its registered name, or the diffusers pipeline folder at a path.

    Raises:
        UnknownNameError: it is neither a known name nor a folder.
        StoreError: the folder holds no readable pipeline.
        InputError: the pipeline is of a kind that no family here knows.
    """
    name = str(name_or_folder)
    if name in MODELS:
        return MODELS.get(name)()
    if not Path(name).is_dir():
        raise UnknownNameError("model", name, [*MODELS.names(), "a pipeline folder"])
    from asap.backbones.mini import load_folder

    return load_folder(Path(name))
