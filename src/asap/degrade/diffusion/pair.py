"""Helpers of ``inpaint_pair`` and ``skeleton_pair``: checks of a region, and the inpainted pair as a record."""

from dataclasses import replace

import numpy as np

from asap.core.errors import InputError
from asap.core.photos import EditedPhoto, PartRegion
from asap.core.records import ByteArray, Edit
from asap.core.vocabulary import SEVERITIES
from asap.degrade.diffusion.batches import Painting
from asap.degrade.diffusion.inpainter import Inpainter
from asap.degrade.diffusion.window import InpaintTask, Window, inpaint_both

__all__ = ["check_region", "finish_pair", "sample_seed"]


def check_region(image: ByteArray, region: PartRegion, severity: int) -> None:
    """Raise ``InputError`` for a wrong severity or a region that does not fit the image."""
    if severity not in SEVERITIES:
        raise InputError(f"severity must be 1, 2 or 3, not {severity}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"the image must be uint8 (H, W, 3), got {image.dtype} {image.shape}")
    if region.mask.shape != image.shape[:2]:
        raise InputError(f"the mask must have the shape {image.shape[:2]} of the image, got {region.mask.shape}")
    if not region.mask.any():
        raise InputError(f"the mask of {region.part} ({region.side}) is empty; leave out regions without pixels")


def sample_seed(rng: np.random.Generator) -> int:
    """A seed for an inpainter, in [0, 2**63)."""
    return int(rng.integers(2**63 - 1))


def finish_pair(task: InpaintTask, inpainter: Inpainter, window: Window, edit: Edit) -> Painting:
    """Both sides as a record. Strength, seed, seam and window are added to the detail of the edit."""
    chosen, rejected, area = yield from inpaint_both(task, inpainter, window)
    detail: dict[str, float | int | str] = {
        **edit.detail,
        "strength": task.strength,
        "seed": task.seed,
        "seam": task.seam,
        "window": "{},{},{},{}".format(*window.box),
    }
    return EditedPhoto(
        chosen=chosen,
        rejected=rejected,
        mask=np.where(area, 255, 0).astype(np.uint8),
        edit=replace(edit, detail=detail),
        instruments=(inpainter.name,),
    )
