"""FLUX.2 klein and dev: see the README beside this file."""

from pathlib import Path

from asap.backbones.family import Family, LoadOptions
from asap.backbones.flux2.original import ORIGINAL
from asap.backbones.protocol import Backbone

__all__ = ["FAMILY"]


def _load(folder: Path, name: str, options: LoadOptions) -> Backbone:
    from asap.backbones.flux2.load import load

    return load(folder, name, options)


FAMILY = Family(
    name="flux2",
    pipelines=("Flux2KleinPipeline", "Flux2Pipeline"),
    load=_load,
    original=ORIGINAL,
    hubs=(
        "black-forest-labs/FLUX.2-klein-base-4B",
        "black-forest-labs/FLUX.2-klein-4B",
        "black-forest-labs/FLUX.2-klein-base-9B",
        "black-forest-labs/FLUX.2-klein-9B",
        "black-forest-labs/FLUX.2-dev",
    ),
)
