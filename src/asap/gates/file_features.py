"""Features of an encoded image: format, dimensions, compression, metadata, tables.

PNG and JPEG are parsed; other formats give their first bytes and their size only.
"""

import struct
from collections.abc import Iterator

import numpy as np

from asap.core.errors import InputError
from asap.core.records import FloatArray

__all__ = ["NAMES", "file_features"]

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8"
_PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_START_OF_SCAN, _TABLES, _COMMENT = 0xDA, 0xDB, 0xFE
_APPLICATION = range(0xE0, 0xF0)
_FRAME = (0xC0, 0xC1, 0xC2)
_ALONE = (0x01, *range(0xD0, 0xDA))

NAMES = (
    "format",
    "width",
    "height",
    "bits and channels",
    "size over size as PNG",
    "pieces",
    "bytes of metadata",
    "compression",
)
"""Names of the features, in order. ``compression``: the zlib header of a PNG, or the sum of the quantisation tables of
a JPEG.
"""


def file_features(data: bytes, plain_size: int) -> FloatArray:
    """Features ``NAMES`` of an encoded image.

    The size alone would reveal the anatomy (fewer fingers, fewer bytes), so it is divided by the size of the same
    pixels after re-encoding in one fixed way.

    Args:
        data: the encoded image.
        plain_size: bytes of its pixels after re-encoding.

    Raises:
        InputError: there are no bytes, or a PNG or JPEG is truncated.
    """
    if not data or plain_size < 1:
        raise InputError(f"wanted an encoded image and its plain size, got {len(data)} and {plain_size} bytes")
    ratio = float(np.log(len(data) / plain_size))
    try:
        if data.startswith(PNG):
            width, height, kind, pieces, extra, compression = _png(data)
            form = 1.0
        elif data.startswith(JPEG):
            width, height, kind, pieces, extra, compression = _jpeg(data)
            form = 2.0
        else:
            width = height = kind = pieces = extra = compression = 0
            form = float(int.from_bytes(data[:4], "big"))
    except (struct.error, IndexError) as error:
        raise InputError(f"a stored image is truncated after {len(data)} bytes; build the store again") from error
    return np.array([form, width, height, kind, ratio, pieces, extra, compression], dtype=np.float32)


def _png(data: bytes) -> tuple[int, int, int, int, int, int]:
    width, height, bits, colour = struct.unpack_from(">IIBB", data, len(PNG) + 8)
    chunks = list(_png_chunks(data))
    extra = sum(length for name, length, _ in chunks if name not in _PIXELS)
    header = next((struct.unpack_from(">H", data, start)[0] for name, _, start in chunks if name == b"IDAT"), 0)
    return width, height, bits * 10 + colour, len(chunks), extra, header


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, length and start of each chunk."""
    at = len(PNG)
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        yield name, length, at + 8
        at += length + 12


def _jpeg(data: bytes) -> tuple[int, int, int, int, int, int]:
    width = height = kind = pieces = extra = tables = 0
    at = len(JPEG)
    while True:
        marker = data[at + 1]
        if marker in _ALONE:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        pieces += 1
        if marker in _APPLICATION or marker == _COMMENT:
            extra += length
        elif marker == _TABLES:
            tables += sum(data[at + 4 : at + 2 + length])
        elif marker in _FRAME:
            bits, height, width, channels = struct.unpack_from(">BHHB", data, at + 4)
            sampling = sum(data[at + 11 + 3 * channel] for channel in range(channels))
            kind = bits * 1000 + channels * 100 + sampling
        elif marker == _START_OF_SCAN:
            return width, height, kind, pieces, extra, tables
        at += 2 + length
