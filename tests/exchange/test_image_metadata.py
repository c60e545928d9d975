"""What images say besides their pixels is found, in every format that we take."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from asap.exchange.image_metadata import embedded_metadata
from asap.stores.png import encode

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 24, 3), dtype=np.uint8)


def saved(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, format=kind, **options)
    return buffer.getvalue()


def gps() -> bytes:
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    return exif.tobytes()


def text() -> PngInfo:
    info = PngInfo()
    info.add_text("Author", "Jane Doe")
    return info


ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"


@pytest.mark.parametrize(
    "data",
    [encode(PIXELS), encode(PIXELS[:, :, 0]), saved("PNG"), saved("JPEG"), saved("WEBP"), saved("WEBP", lossless=True)],
)
def test_clean_images_are_clean(data: bytes) -> None:
    assert embedded_metadata(data) == []


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (saved("PNG", exif=gps()), ["eXIf"]),
        (saved("PNG", pnginfo=text()), ["tEXt"]),
        (saved("PNG", icc_profile=ICC), ["iCCP"]),
        (saved("JPEG", exif=gps()), ["Exif or XMP"]),
        (saved("JPEG", xmp=XMP), ["Exif or XMP"]),
        (saved("JPEG", icc_profile=ICC), ["ICC profile"]),
        (saved("JPEG", comment=b"Jane Doe"), ["comment"]),
        (saved("JPEG", progressive=True, exif=gps(), icc_profile=ICC), ["Exif or XMP", "ICC profile"]),
        (saved("WEBP", exif=gps()), ["EXIF"]),
        (saved("WEBP", xmp=XMP), ["XMP"]),
        (saved("WEBP", icc_profile=ICC), ["ICCP"]),
        (saved("PNG") + b"hidden", ["bytes after the end"]),
        (saved("JPEG") + b"hidden", ["bytes after the end"]),
        (saved("PNG")[:-30], ["cut short"]),
        (saved("JPEG")[:-200], ["cut short"]),
        (saved("BMP"), ["not PNG, JPEG or WebP"]),
        (b"", ["not PNG, JPEG or WebP"]),
    ],
)
def test_every_trace_is_named(data: bytes, found: list[str]) -> None:
    assert embedded_metadata(data) == found


def test_a_segment_between_the_scans_of_a_jpeg_is_found() -> None:
    """A comment after the first scan of a progressive JPEG, where a quick reader no longer looks."""
    data = saved("JPEG", progressive=True)
    second = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    assert embedded_metadata(data[:second] + b"\xff\xfe\x00\x0aJane Doe" + data[second:]) == ["comment"]


def test_an_unknown_chunk_is_a_trace() -> None:
    data = saved("PNG")
    chunk = b"\x00\x00\x00\x04prVWhome" + zlib.crc32(b"prVWhome").to_bytes(4, "big")
    assert embedded_metadata(data[:33] + chunk + data[33:]) == ["prVW"]
