"""Z-Image and Z-Image-Turbo."""

from asap.backbones.family import Family

__all__ = ["FAMILY"]

FAMILY = Family(
    name="zimage",
    pipelines=("ZImagePipeline",),
    hubs=("Tongyi-MAI/Z-Image", "Tongyi-MAI/Z-Image-Turbo"),
)
