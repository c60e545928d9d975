"""Body-guided: two photographs that one noise makes of a right and of a broken rendered body, equal outside the break.

Nothing is left to a photograph's landmarks: part, operation, severity and mask are those of the mesh edit.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from asap.core.errors import InputError
from asap.core.photos import EditedPhoto
from asap.core.records import BoolArray, ByteArray, Edit
from asap.degrade.diffusion.inpainter import Inpainter
from asap.degrade.diffusion.maps import BodyMaps, control_images
from asap.degrade.diffusion.pair import draw_seed
from asap.degrade.diffusion.prompts import plain_prompt
from asap.degrade.diffusion.window import feather, grow, margin, mix

__all__ = ["controlnet_pair"]

_GREY: Final = 127


def controlnet_pair(
    image_size: int,
    chosen_maps: BodyMaps,
    rejected_maps: BodyMaps,
    mask: BoolArray,
    edit: Edit,
    rng: np.random.Generator,
    inpainter: Inpainter,
    *,
    caption: str = "",
    stroke: float = 1.0,
) -> EditedPhoto:
    """Both sides of a pair out of nothing but maps and words.

    A whole image is made from the maps of the right body. Then the mask is made anew twice, from the same noise and
    the same words: once after the right maps, once after the broken ones. Both sides are that image outside the mask,
    and both have been painted over inside, so the maps are the only difference.

    Args:
        image_size: pixels on each side; the maps have this size.
        chosen_maps: of the right body.
        rejected_maps: of the broken body, through the same camera.
        mask: (image_size, image_size) True where the two renderings differ.
        edit: what was done to the mesh.
        rng: draws the painter's seed.
        inpainter: of kind guided.
        caption: what the image shows; the same for both sides.
        stroke: factor on the widths of a pose drawing.

    Raises:
        InputError: a size does not fit, the mask is empty, the painter takes no maps, or as ``control_images``.
    """
    if not inpainter.maps:
        raise InputError(f"{inpainter.name} takes no maps; load one of kind guided, with a ControlNet")
    shape = (image_size, image_size)
    if mask.shape != shape or chosen_maps.depth.shape != shape:
        raise InputError(f"mask and maps must be {shape}, got {mask.shape} and {chosen_maps.depth.shape}")
    if not mask.any():
        raise InputError("the mask is empty: both bodies look the same; take another edit or camera")
    area = grow(mask, margin(mask))
    right, wrong = control_images(chosen_maps, rejected_maps, area, inpainter.maps, stroke)
    prompt, seed = plain_prompt(caption), draw_seed(rng)

    def paint(image: ByteArray, where: BoolArray, control: dict[str, ByteArray]) -> ByteArray:
        return inpainter.paint(image, where, prompt, seed=seed, strength=1.0, control=control)

    whole = paint(np.full((*shape, 3), _GREY, dtype=np.uint8), np.ones(shape, dtype=bool), right)
    weights = feather(area, margin(area))
    return EditedPhoto(
        chosen=mix(whole, paint(whole, area, right), weights),
        rejected=mix(whole, paint(whole, area, wrong), weights),
        mask=np.where(area, 255, 0).astype(np.uint8),
        edit=replace(edit, detail={**edit.detail, "space": "guided", "seed": seed, "maps": ",".join(inpainter.maps)}),
        instruments=(inpainter.name,),
    )
