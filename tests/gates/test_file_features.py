"""What the encoded bytes tell, by hand."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from asap.core.errors import InputError
from asap.gates.file_features import NAMES, file_features


def encoded(form: str, **settings: Any) -> bytes:  # noqa: ANN401
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, format=form, **settings)
    return buffer.getvalue()


def told(data: bytes) -> dict[str, float]:
    return dict(zip(NAMES, (float(value) for value in file_features(data, 1000)), strict=True))


def test_a_png_by_hand() -> None:
    """Three chunks: 8 bits in colour type 2, deflate with a window of 32 KiB at its usual level (0x789C)."""
    header = struct.pack(">IIBBBBB", 3, 2, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(2 * (1 + 9)))
    chunks = [(b"IHDR", header), (b"tEXt", b"Comment\0abc"), (b"IDAT", body), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n"
    for name, content in chunks:
        data += struct.pack(">I4s", len(content), name) + content + struct.pack(">I", zlib.crc32(name + content))
    found = told(data)
    assert (found["format"], found["width"], found["height"], found["bits and channels"]) == (1, 3, 2, 82)
    assert (found["pieces"], found["bytes of metadata"], found["compression"]) == (4, 11, 0x789C)
    assert found["size over size as PNG"] == pytest.approx(np.log(len(data) / 1000), rel=1e-5)


def test_a_png_of_pillow() -> None:
    note = PngImagePlugin.PngInfo()
    note.add_text("Software", "x")
    plain, told_off = told(encoded("PNG")), told(encoded("PNG", pnginfo=note))
    assert (plain["width"], plain["height"], plain["bytes of metadata"]) == (30, 20, 0)
    assert told_off["bytes of metadata"] == 10
    assert told_off["pieces"] == plain["pieces"] + 1
    assert (
        told(encoded("PNG", compress_level=9))["compression"] != told(encoded("PNG", compress_level=1))["compression"]
    )


def test_a_jpeg() -> None:
    fine, coarse = told(encoded("JPEG", quality=95)), told(encoded("JPEG", quality=40))
    assert (fine["format"], fine["width"], fine["height"]) == (2, 30, 20)
    assert fine["compression"] < coarse["compression"]
    assert told(encoded("JPEG", comment=b"abc"))["bytes of metadata"] == told(encoded("JPEG"))["bytes of metadata"] + 5
    full, half = told(encoded("JPEG", subsampling=0)), told(encoded("JPEG", subsampling=2))
    assert full["bits and channels"] != half["bits and channels"]


def test_another_format_is_known_by_its_first_bytes() -> None:
    found = told(b"RIFFabcdWEBP")
    assert found["format"] == float(np.float32(int.from_bytes(b"RIFF", "big")))
    assert found["width"] == found["pieces"] == 0


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_image_that_breaks_off(form: str) -> None:
    with pytest.raises(InputError, match="a stored image is truncated after 20 bytes"):
        file_features(encoded(form)[:20], 1000)


def test_no_bytes() -> None:
    with pytest.raises(InputError, match="got 0 and 1000 bytes"):
        file_features(b"", 1000)
