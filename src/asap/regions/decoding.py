"""Decode the bytes of a file to an upright sRGB image. The format is detected from the content, never from the name.

The metadata of the file (camera, place, profile, thumbnail) are discarded. For any input, the result is a ``Photo`` or
a ``PhotoError`` with one of ``REASONS``.
"""

import contextlib
import io
import struct
import warnings
import zlib
from typing import Final

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from asap.core.errors import PhotoError
from asap.core.hashing import digest
from asap.core.native_stderr import silence_native_stderr
from asap.core.photos import Photo
from asap.core.records import ByteArray

__all__ = ["FORMATS", "MAX_ASPECT", "MAX_PIXELS", "MIN_SIDE", "REASONS", "decode"]

REASONS: Final = ("empty", "not_a_picture", "too_small", "aspect", "bomb", "truncated", "unreadable")
"""Every reason of a ``PhotoError``."""
FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM")
"""Supported formats. Others are not tried (among them EPS, which starts a program)."""
MAX_PIXELS: Final = 100_000_000
"""Larger images are refused from their header, before decoding."""
MAX_SCANS: Final = 100
"""A progressive JPEG has about ten scans; each one costs a pass over the whole image."""
MIN_SIDE: Final = 64
"""Pixels; in a smaller image a hand has no visible fingers."""
MAX_ASPECT: Final = 8.0
"""Longer over shorter side; beyond it the file is a banner or a strip, not a photograph of a person."""

TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that makes an image upright, by EXIF orientation (CIPA DC-008, tag 274)."""
TIFF_ORDERS: Final = (b"II", b"MM")
ORIENTATION, TILE_WIDTH, TILE_HEIGHT = 274, 322, 323

FAULTS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    ImageCms.PyCMSError,
)
"""Exceptions of Pillow's readers on malformed bytes."""
CUT_SHORT: Final = ("truncat", "unexpected end", "incomplete", "premature", "not enough data", "eof")
"""Words in messages of Pillow and its libraries that mean a truncated file."""


def decode(data: bytes, name: str, *, caption: str = "") -> Photo:
    """Decode the image in ``data``; ``name`` and ``caption`` are copied to the result.

    EXIF rotation is applied, transparency is composited over white, a colour profile is converted to sRGB, 16 bits are
    scaled to 8, and the first frame of an animation is used. ``Photo.notes`` lists which of these happened.

    Raises:
        PhotoError: the bytes are not a usable image; ``reason`` is one of ``REASONS``.
    """
    if not data:
        raise PhotoError("empty", f"{name}: wanted an image, the file is empty; leave it out")
    notes: list[str] = []
    silence = (
        silence_native_stderr() if data[:2] in TIFF_ORDERS else contextlib.nullcontext()
    )  # libtiff writes messages to stderr
    with silence, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with _open(data, name) as image:
                _check_size(image, data, name)
                pixels = _pixels(image, notes)
        except FAULTS as error:
            raise _fault(error, name) from error
    return Photo(name=name, digest=digest(data), image=pixels, caption=caption, notes=tuple(notes))


def _open(data: bytes, name: str) -> Image.Image:
    """Open the file and read its header; raises ``PhotoError`` if no format matches, else as Pillow does."""
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        if any(data.startswith(magic) for magic in MAGIC):
            raise PhotoError("unreadable", f"{name}: the header is damaged; save the image again") from error
        raise PhotoError(
            "not_a_picture", f"{name}: wanted one of {', '.join(FORMATS)}, got {_looks_like(data)}; convert it first"
        ) from error


MAGIC: Final = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*", b"BM", b"RIFF")
"""First bytes of the formats that have a signature."""


def _looks_like(data: bytes) -> str:
    """A description of what the bytes appear to be."""
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in head:
        return "SVG (lines, not pixels)"
    if head.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if not data[:512].strip(b"\0"):
        return "zero bytes"
    printable = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in data[:512])
    return "text" if printable == len(data[:512]) else "another kind of file"


def _check_size(image: Image.Image, data: bytes, name: str) -> None:
    """Refuse by the header alone; raises ``PhotoError``."""
    width, height = image.size
    short, long = min(width, height), max(width, height)
    size = f"{name}: it is {width} x {height} pixels"
    if width * height > MAX_PIXELS:
        raise PhotoError("bomb", f"{size}, at most {MAX_PIXELS:,} pixels are read; scale it down")
    tags = getattr(image, "tag_v2", {})
    if tags.get(TILE_WIDTH, 0) * tags.get(TILE_HEIGHT, 0) > MAX_PIXELS:
        raise PhotoError("bomb", f"{name}: a tile has more than {MAX_PIXELS:,} pixels; save the image again")
    if image.format == "JPEG" and data.count(b"\xff\xda") > MAX_SCANS:
        raise PhotoError("bomb", f"{name}: the JPEG has more than {MAX_SCANS} scans; save the image again")
    if short < MIN_SIDE:
        raise PhotoError("too_small", f"{size}, each side must have {MIN_SIDE}; take a larger one")
    if long > MAX_ASPECT * short:
        raise PhotoError("aspect", f"{size}, the longer side may be {MAX_ASPECT:g} times the shorter; crop it")


def _fault(error: BaseException, name: str) -> PhotoError:
    """The ``PhotoError`` for an exception of Pillow."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, Image.DecompressionBombError):
        return PhotoError("bomb", f"{name}: it has more than {MAX_PIXELS:,} pixels; scale it down")
    if isinstance(error, EOFError) or any(word in text.lower() for word in CUT_SHORT):
        return PhotoError("truncated", f"{name}: the file ends too early ({text}); copy it again")
    return PhotoError("unreadable", f"{name}: the image cannot be decoded ({text}); save it again")


def _pixels(image: Image.Image, notes: list[str]) -> ByteArray:
    """(H, W, 3) upright sRGB of the first frame; changes are added to ``notes``."""
    if getattr(image, "is_animated", False) and image.format != "MPO":
        notes.append("first frame of several")
    if any(";16" in str(tile) for tile in getattr(image, "tile", ())) and not image.mode.startswith("I"):
        notes.append("16 bits to 8")
    turn = _orientation(image)
    image.load()
    turn = turn if turn in TURNS else _orientation(image)  # a PNG may state its orientation after its pixels
    plain = _to_rgb(image, notes)
    if turn in TURNS:
        notes.append("rotated")
        if image.format != "TIFF":  # Pillow rotates these itself
            plain = plain.transpose(TURNS[turn])
    return np.array(plain, dtype=np.uint8)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 if there is none or it cannot be read."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except FAULTS:
        return 1
    return value if isinstance(value, int) else 1


def _to_rgb(image: Image.Image, notes: list[str]) -> Image.Image:
    """The image in mode RGB: bits scaled, profile converted, transparency over white."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith(("I", "F")):
        return _from_deep(image, notes).convert("RGB")
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    solid = image if image.mode in ("L", "RGB", "CMYK", "LAB") else image.convert("RGB")
    if profile:
        solid = _from_profile(solid, profile, notes)
    elif solid.mode == "CMYK":
        notes.append("CMYK without a profile")
    solid = solid.convert("RGB")
    if alpha is None or alpha.getextrema() == (255, 255):
        return solid
    notes.append("alpha over white")
    return Image.composite(solid, Image.new("RGB", solid.size, (255, 255, 255)), alpha)


def _from_deep(image: Image.Image, notes: list[str]) -> Image.Image:
    """16-bit grey scaled to 8 bits; raises ``ValueError`` for other ranges, whose white is not known."""
    values = np.asarray(image)
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
        raise ValueError(f"values of type {values.dtype} have no known white")
    notes.append("16 bits to 8")
    return Image.fromarray(np.round(values / 257.0).astype(np.uint8))


def _from_profile(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image:
    """Colours in sRGB. An unusable profile is noted, and the values are read as sRGB."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return image
        wanted = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}[source.profile.xcolor_space]
        converted = ImageCms.profileToProfile(
            image if image.mode == "CMYK" else image.convert(wanted),
            source,
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except FAULTS:
        notes.append("unreadable colour profile")
        return image
    if converted is None:
        return image
    notes.append("colour profile to sRGB")
    return converted
