"""Diffusion models that break a part: loaded once a process, used by the stage of photographs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from asap.core.errors import InputError
from asap.core.photos import EditedPhoto, PartRegion, Photo
from asap.core.vocabulary import OPERATIONS, SEVERITIES

__all__ = ["DIFFUSION", "Painting", "paint", "painter_of"]

DIFFUSION: Final = ("repaint", "skeleton")
SEVERITY_SHARES: Final = (0.25, 0.4, 0.35)
"""How often severity 1, 2 and 3 are drawn, as on rendered people."""


@dataclass(frozen=True, kw_only=True)
class Painting:
    """The model and its settings."""

    kind: str
    """Of ``DIFFUSION``, or guided."""
    model: str
    """Folder or hub id of an inpainting pipeline."""
    controlnet: str = ""
    device: str = "cpu"
    dtype: str = "auto"
    steps: int | None = None
    """Denoising steps; None for the family's own number."""
    guidance: float | None = None
    """Guidance of the text; None for the family's own."""


@lru_cache(maxsize=1)
def painter_of(painting: Painting) -> Any:  # noqa: ANN401  (a protocol of the room)
    """The loaded model; one a process."""
    from asap.degrade.diffusion.load import load_inpainter

    return load_inpainter(
        painting.kind,
        painting.model,
        controlnet=painting.controlnet or None,
        device=painting.device,
        dtype=painting.dtype,
        steps=painting.steps,
        guidance=painting.guidance,
    )


def paint(
    kind: str,
    painter: Any,  # noqa: ANN401
    photo: Photo,
    found: Sequence[PartRegion],
    operations: Sequence[str],
    rng: np.random.Generator,
) -> tuple[PartRegion, EditedPhoto]:
    """One part of the photograph painted anew: at will (repaint) or after a broken skeleton; raises ``InputError``."""
    from asap.degrade import diffusion

    severity = int(rng.choice(SEVERITIES, p=SEVERITY_SHARES))
    if kind == "repaint":
        part = found[int(rng.integers(len(found)))]
        return part, diffusion.inpaint_pair(
            photo.image, part, severity, rng, painter, caption=photo.caption, regions=found
        )
    wanted = set(operations or OPERATIONS)
    cells = [
        (part, operation) for part in found for name, operation in diffusion.SKELETON_OPERATIONS if name == part.part
    ]
    cells = [cell for cell in cells if cell[1] in wanted]
    if not cells:
        raise InputError("no part of this photograph has a skeleton that these operations could break")
    part, operation = cells[int(rng.integers(len(cells)))]
    return part, diffusion.skeleton_pair(
        photo.image, part, operation, severity, rng, painter, caption=photo.caption, regions=found
    )
