"""Image space: one part of a photograph is painted anew by a text-to-image model (Phase I of arXiv:2605.25759)."""

from collections.abc import Sequence

import numpy as np

from asap.core.errors import InputError
from asap.core.photos import EditedPhoto, PartRegion
from asap.core.records import ByteArray, Edit
from asap.degrade.diffusion.inpainter import Inpainter
from asap.degrade.diffusion.pair import check_region, draw_seed, make_pair
from asap.degrade.diffusion.prompts import STRENGTHS, fault_prompt, faults, negative_prompt
from asap.degrade.diffusion.window import CONTEXT, Job, Seam, touched_area, window_around

__all__ = ["inpaint_pair"]


def inpaint_pair(
    image: ByteArray,
    region: PartRegion,
    severity: int,
    rng: np.random.Generator,
    inpainter: Inpainter,
    *,
    caption: str = "",
    regions: Sequence[PartRegion] = (),
    seam: Seam = "feather",
    context: float = CONTEXT,
) -> EditedPhoto:
    """Both sides of a pair in which ``region`` is painted anew after a prompt that asks for a fault.

    The edit's operation is ``misshapen``: what was asked for is in its detail, what came out is for a screen to say.

    Args:
        image: (H, W, 3) sRGB.
        region: the part.
        severity: 1 to 3; sets the strength and the prompt's adverb.
        rng: draws the fault and the painter's seed.
        inpainter: of kind repaint.
        caption: what the photograph shows.
        regions: all parts that are known; those that the part is not attached to are kept.
        seam: how the paste meets the photograph.
        context: side of the window over the longer side of the mask.

    Raises:
        InputError: the mask does not fit the image or is empty, the severity is not 1, 2 or 3, or the painter needs
            maps.
        UnknownNameError: ``seam`` is unknown.
    """
    check_region(image, region, severity)
    if inpainter.maps:
        raise InputError(f"{inpainter.name} needs maps ({', '.join(inpainter.maps)}); load one of kind repaint")
    phrases = faults(region.part)
    fault = phrases[int(rng.integers(len(phrases)))]
    job = Job(
        photo=image,
        area=touched_area(region, regions),
        prompt=fault_prompt(fault, severity, caption),
        negative=negative_prompt(region.part),
        strength=STRENGTHS[severity],
        seed=draw_seed(rng),
        seam=seam,
        context=context,
    )
    window = window_around(job.area, inpainter.native_size, inpainter.size_multiple, context)
    edit = Edit(
        kind="defect",
        part=region.part,
        side=region.side,
        operation="misshapen",
        severity=severity,
        detail={"space": "image", "asked": fault},
    )
    return make_pair(job, inpainter, window, edit)
