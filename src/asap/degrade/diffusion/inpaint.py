"""Break one part of a photograph by inpainting it with a text-to-image model (Phase I of arXiv:2605.25759)."""

from collections.abc import Sequence

import numpy as np

from asap.core.errors import InputError
from asap.core.photos import PartRegion
from asap.core.records import ByteArray, Edit
from asap.degrade.diffusion.batches import Painting
from asap.degrade.diffusion.inpainter import Inpainter
from asap.degrade.diffusion.pair import check_region, finish_pair, sample_seed
from asap.degrade.diffusion.prompts import STRENGTHS, fault_prompt, faults, negative_prompt
from asap.degrade.diffusion.window import CONTEXT, InpaintTask, Seam, touched_area, window_around

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
) -> Painting:
    """Inpaint ``region`` with a prompt that asks for a fault; the result of the painting is both sides of the pair.

    The operation of the edit is ``misshapen``. Its detail records the requested fault; whether the result shows a fault
    is decided by a screen.

    Args:
        image: (H, W, 3) sRGB.
        region: the part.
        severity: 1 to 3; sets the strength and the adverb of the prompt.
        rng: samples the fault and the seed of the inpainter.
        inpainter: of kind repaint.
        caption: content of the photograph.
        regions: all known parts; those that are not attached to the part are not changed.
        seam: how the inpainted area is blended into the photograph.
        context: side of the window over the longer side of the mask.

    Raises:
        InputError: the mask does not fit the image or is empty, the severity is not 1, 2 or 3, or the inpainter needs
            maps.
        UnknownNameError: ``seam`` is unknown.
    """
    check_region(image, region, severity)
    if inpainter.maps:
        raise InputError(f"{inpainter.name} needs maps ({', '.join(inpainter.maps)}); load one of kind repaint")
    phrases = faults(region.part)
    fault = phrases[int(rng.integers(len(phrases)))]
    task = InpaintTask(
        photo=image,
        area=touched_area(region, regions),
        prompt=fault_prompt(fault, severity, caption),
        negative=negative_prompt(region.part),
        strength=STRENGTHS[severity],
        seed=sample_seed(rng),
        seam=seam,
        context=context,
    )
    window = window_around(task.area, inpainter.native_size, inpainter.size_multiple, context)
    edit = Edit(
        kind="defect",
        part=region.part,
        side=region.side,
        operation="misshapen",
        severity=severity,
        detail={"space": "image", "asked": fault},
    )
    return (yield from finish_pair(task, inpainter, window, edit))
