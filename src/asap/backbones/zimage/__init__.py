"""Z-Image and Z-Image-Turbo."""

from pathlib import Path

from asap.backbones.family import Family, LoadOptions
from asap.backbones.protocol import Backbone

__all__ = ["FAMILY"]


def _load(folder: Path, name: str, options: LoadOptions) -> Backbone:
    from asap.backbones.zimage.load import load

    return load(folder, name, options)


FAMILY = Family(
    name="zimage",
    pipelines=("ZImagePipeline",),
    load=_load,
    hubs=("Tongyi-MAI/Z-Image", "Tongyi-MAI/Z-Image-Turbo"),
)
