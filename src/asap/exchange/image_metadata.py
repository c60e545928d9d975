"""Detect metadata in image files: when, where, by whom and with what an image was taken.

Only chunks that are needed to show the pixels count as harmless; everything else is reported. PNG chunks: the PNG
specification (W3C, third edition), section 11. JPEG markers: ITU-T T.81, table B.1. WebP chunks: RFC 9649.
"""

from collections.abc import Iterator
from typing import Final

__all__ = ["embedded_metadata"]

PNG: Final = b"\x89PNG\r\n\x1a\n"
HARMLESS: Final = frozenset(("IHDR", "PLTE", "IDAT", "IEND", "tRNS", "sRGB", "gAMA", "cHRM", "sBIT", "bKGD", "pHYs"))
WEBP: Final = frozenset(("VP8 ", "VP8L", "VP8X", "ALPH"))
SEGMENTS: Final = {0xE1: "Exif or XMP", 0xE2: "ICC profile", 0xED: "IPTC", 0xFE: "comment"}
JFIF, ADOBE, START, END, SCAN = 0xE0, 0xEE, 0xD8, 0xD9, 0xDA
ALONE: Final = frozenset((0x01, START, *range(0xD0, 0xD8)))
"""JPEG markers without a length."""


def embedded_metadata(data: bytes) -> list[str]:
    """Names of everything in an image file that is not pixels, once each, in order; empty if there is nothing.

    Bytes that are not a complete PNG, JPEG or WebP are reported as well, because their content is unknown.
    """
    try:
        if data.startswith(PNG):
            found = list(_png(data))
        elif data.startswith(b"\xff\xd8"):
            found = list(_jpeg(data))
        elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            found = list(_webp(data))
        else:
            return ["not PNG, JPEG or WebP"]
    except IndexError:
        found = ["cut short"]
    return list(dict.fromkeys(found))


def _png(data: bytes) -> Iterator[str]:
    place, name = len(PNG), ""
    while name != "IEND":
        name = _bytes(data, place + 4, 4).decode("latin-1")
        length = int.from_bytes(_bytes(data, place, 4), "big")
        _bytes(data, place + 8, length + 4)
        if name not in HARMLESS:
            yield name
        place += 12 + length
    if place != len(data):
        yield "bytes after the end"


def _jpeg(data: bytes) -> Iterator[str]:
    place = 0
    while True:
        if _bytes(data, place, 1) != b"\xff":
            raise IndexError
        marker = _bytes(data, place + 1, 1)[0]
        if marker == 0xFF:  # a fill byte
            place += 1
        elif marker == END:
            break
        elif marker in ALONE:
            place += 2
        else:
            length = int.from_bytes(_bytes(data, place + 2, 2), "big")
            yield from _segment(marker, _bytes(data, place + 4, length - 2))
            place += 2 + length
            if marker == SCAN:
                place = _next_marker(data, place)
    if place + 2 != len(data):
        yield "bytes after the end"


def _segment(marker: int, content: bytes) -> Iterator[str]:
    known = (marker == JFIF and content.startswith(b"JFIF\0")) or (marker == ADOBE and content.startswith(b"Adobe"))
    if marker in SEGMENTS:
        yield SEGMENTS[marker]
    elif 0xE0 <= marker <= 0xEF and not known:
        yield f"APP{marker - 0xE0}"


def _next_marker(data: bytes, place: int) -> int:
    """The position after the entropy-coded bytes, in which FF is followed by 00 or by a restart marker."""
    while True:
        place = data.find(b"\xff", place)
        if place < 0:
            raise IndexError
        follower = _bytes(data, place + 1, 1)[0]
        if follower != 0 and not 0xD0 <= follower <= 0xD7:
            return place
        place += 2


def _webp(data: bytes) -> Iterator[str]:
    place, end = 12, 8 + int.from_bytes(data[4:8], "little")
    while place < end:
        name, length = _bytes(data, place, 4).decode("latin-1"), int.from_bytes(_bytes(data, place + 4, 4), "little")
        _bytes(data, place + 8, length)
        if name not in WEBP:
            yield name.strip()
        place += 8 + length + length % 2
    if place < len(data):
        yield "bytes after the end"


def _bytes(data: bytes, place: int, count: int) -> bytes:
    """``count`` bytes; raises ``IndexError`` if there are fewer."""
    found = data[place : place + count]
    if count < 0 or len(found) != count:
        raise IndexError
    return found
