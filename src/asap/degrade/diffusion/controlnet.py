"""Pairs generated from the maps of two rendered bodies, one correct and one broken, identical outside the mask.

No landmarks of a photograph are needed: part, operation, severity and mask are those of the mesh edit.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from asap.core.errors import InputError
from asap.core.photos import EditedPhoto
from asap.core.records import BoolArray, ByteArray, Edit
from asap.degrade.diffusion.batches import Painting
from asap.degrade.diffusion.inpainter import Inpainter, PaintRequest
from asap.degrade.diffusion.maps import BodyMaps, control_images
from asap.degrade.diffusion.pair import sample_seed
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
) -> Painting:
    """Generate both sides of a pair from maps and a caption.

    First, a whole image is generated from the maps of the correct body. Then the mask is inpainted twice, with the same
    noise and the same caption: once with the maps of the correct body, once with the maps of the broken one. Outside
    the mask both sides are that image, and inside both are inpainted, so the maps are the only difference.

    Args:
        image_size: pixels on each side; the maps have this size.
        chosen_maps: of the correct body.
        rejected_maps: of the broken body, from the same camera.
        mask: (image_size, image_size) True where the two renderings differ.
        edit: the edit of the mesh.
        rng: samples the seed of the inpainter.
        inpainter: of kind guided.
        caption: content of the image, the same for both sides.
        stroke: factor on the line widths of a pose drawing.

    Raises:
        InputError: a size does not fit, the mask is empty, the inpainter takes no maps, or as ``control_images``.
    """
    if not inpainter.maps:
        raise InputError(f"{inpainter.name} takes no maps; load one of kind guided, with a ControlNet")
    shape = (image_size, image_size)
    if mask.shape != shape or chosen_maps.depth.shape != shape:
        raise InputError(f"mask and maps must be {shape}, got {mask.shape} and {chosen_maps.depth.shape}")
    if not mask.any():
        raise InputError("the mask is empty: both bodies look the same; choose another edit or camera")
    area = grow(mask, margin(mask))
    chosen_control, rejected_control = control_images(chosen_maps, rejected_maps, area, inpainter.maps, stroke)
    prompt, seed = plain_prompt(caption), sample_seed(rng)

    def request(image: ByteArray, where: BoolArray, control: Mapping[str, ByteArray]) -> PaintRequest:
        return PaintRequest(image=image, mask=where, prompt=prompt, seed=seed, strength=1.0, control=control)

    whole = yield request(np.full((*shape, 3), _GREY, dtype=np.uint8), np.ones(shape, dtype=bool), chosen_control)
    weights = feather(area, margin(area))
    chosen = yield request(whole, area, chosen_control)
    rejected = yield request(whole, area, rejected_control)
    return EditedPhoto(
        chosen=mix(whole, chosen, weights),
        rejected=mix(whole, rejected, weights),
        mask=np.where(area, 255, 0).astype(np.uint8),
        edit=replace(edit, detail={**edit.detail, "space": "guided", "seed": seed, "maps": ",".join(inpainter.maps)}),
        instruments=(inpainter.name,),
    )
