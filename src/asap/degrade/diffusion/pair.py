"""What ``repaint`` and ``skeleton`` have in common: checks of a region, and a painted pair as a record."""

from dataclasses import replace

import numpy as np

from asap.core.errors import InputError
from asap.core.photos import EditedPhoto, PartRegion
from asap.core.records import ByteArray, Edit
from asap.core.vocabulary import SEVERITIES
from asap.degrade.diffusion.inpainter import Inpainter
from asap.degrade.diffusion.window import Job, Window, paint_both

__all__ = ["check_region", "draw_seed", "make_pair"]


def check_region(image: ByteArray, region: PartRegion, severity: int) -> None:
    """Refuse a severity or a region that does not fit the image; ``InputError``."""
    if severity not in SEVERITIES:
        raise InputError(f"severity must be 1, 2 or 3, not {severity}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"the image must be uint8 (H, W, 3), got {image.dtype} {image.shape}")
    if region.mask.shape != image.shape[:2]:
        raise InputError(f"the region's mask must be {image.shape[:2]} as the image is, got {region.mask.shape}")
    if not region.mask.any():
        raise InputError(f"the mask of {region.part} ({region.side}) is empty; leave out regions without pixels")


def draw_seed(rng: np.random.Generator) -> int:
    """A seed for a painter, in [0, 2**63)."""
    return int(rng.integers(2**63 - 1))


def make_pair(job: Job, inpainter: Inpainter, window: Window, edit: Edit) -> EditedPhoto:
    """Both sides as a record; strength, seed, seam and window are added to the edit's detail."""
    chosen, rejected, area = paint_both(job, inpainter, window)
    detail: dict[str, float | int | str] = {
        **edit.detail,
        "strength": job.strength,
        "seed": job.seed,
        "seam": job.seam,
        "window": "{},{},{},{}".format(*window.box),
    }
    return EditedPhoto(
        chosen=chosen,
        rejected=rejected,
        mask=np.where(area, 255, 0).astype(np.uint8),
        edit=replace(edit, detail=detail),
        instruments=(inpainter.name,),
    )
