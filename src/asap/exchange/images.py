"""Decode image files of other tools to plain arrays."""

import io
from typing import Final

import numpy as np
from PIL import Image, ImageOps

from asap.core.records import ByteArray
from asap.exchange.pair import Refused

__all__ = ["decode_image", "decode_mask", "decode_regions"]

INSIDE: Final = 128
"""Smallest mask value that counts as inside. Other tools allow grey masks; our stores do not."""


def decode_image(data: bytes) -> ByteArray | Refused:
    """(H, W, 3) sRGB, upright, transparency over white; ``Refused`` if the bytes are not such an image."""
    image = _open(data)
    if isinstance(image, Refused):
        return image
    if image.mode.startswith(("I", "F")):
        return Refused("unreadable_picture", f"wanted 8 bits a channel, got mode {image.mode}")
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(opaque, image.convert("RGBA"))
    return np.array(image.convert("RGB"))


def decode_mask(data: bytes) -> tuple[ByteArray, bool] | Refused:
    """(H, W) of 0 and 255, and whether grey values were rounded; a colour mask is read from its red channel."""
    image = _open(data)
    if isinstance(image, Refused):
        return image
    if image.mode.startswith(("I", "F")):
        return Refused("unreadable_mask", f"wanted 8 bits a channel, got mode {image.mode}")
    grey = np.array(image if image.mode == "L" else image.convert("RGB").getchannel(0))
    inside = grey >= INSIDE
    return np.where(inside, np.uint8(255), np.uint8(0)), bool(((grey != 0) & (grey != 255)).any())


def decode_regions(data: bytes) -> ByteArray | Refused:
    """(H, W) part ids, unchanged."""
    image = _open(data)
    if isinstance(image, Refused):
        return image
    if image.mode != "L":
        return Refused("bad_regions", f"wanted a grey image, got mode {image.mode}")
    return np.array(image)


def _open(data: bytes) -> Image.Image | Refused:
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            return ImageOps.exif_transpose(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return Refused("unreadable_picture", " ".join(str(error).split())[:120])
