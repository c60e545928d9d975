"""Every kind of file has a defined answer, and malformed bytes never give anything but an image or a reason."""

import io
import pickle
import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image, ImageCms

from asap.core.errors import InputError, PhotoError
from asap.core.photos import Photo
from asap.core.seeds import generator
from asap.regions import decoding
from asap.regions.decoding import decode

LEFT, RIGHT = (200, 40, 30), (20, 60, 220)


def sample_image(size: tuple[int, int] = (96, 80)) -> Image.Image:
    """An image whose left half is red and whose right half is blue, with a green corner at the top left."""
    image = Image.new("RGB", size, LEFT)
    image.paste(RIGHT, (size[0] // 2, 0, size[0], size[1]))
    image.paste((30, 200, 40), (0, 0, 24, 24))
    return image


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def reason(data: bytes, name: str = "a.png") -> str:
    with pytest.raises(PhotoError) as caught:
        decode(data, name)
    assert name in caught.value.line
    assert caught.value.reason in decoding.REASONS
    return caught.value.reason


def close(photo: Photo, image: Image.Image, tolerance: int = 0) -> bool:
    wanted = np.asarray(image.convert("RGB"), np.int16)
    return photo.image.shape == wanted.shape and int(np.abs(photo.image - wanted).max()) <= tolerance


def test_a_plain_image_comes_back_as_it_is() -> None:
    photo = decode(saved(sample_image()), "a/b.png", caption="a hand")
    assert close(photo, sample_image())
    assert (photo.name, photo.caption, photo.notes) == ("a/b.png", "a hand", ())
    assert photo.image.dtype == np.uint8
    assert photo.image.flags.owndata
    assert photo.image.flags.c_contiguous


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "JPEG"])
def test_each_format_is_read(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    photo = decode(saved(sample_image(), kind, **options), "wrong.xyz")
    assert close(photo, sample_image(), 40 if kind == "JPEG" else 0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied_and_noted(kind: str, orientation: int) -> None:
    inverse = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    turn = inverse.get(orientation, decoding.TURNS.get(orientation))
    stored = sample_image() if turn is None else sample_image().transpose(turn)
    exif = Image.Exif()
    exif[decoding.ORIENTATION] = orientation
    photo = decode(saved(stored, kind, exif=exif, **({"quality": 95} if kind != "TIFF" else {})), "a.jpg")
    assert photo.image.shape == (80, 96, 3)
    assert np.abs(photo.image[8, 8] - np.array((30.0, 200.0, 40.0))).max() < 12
    assert np.abs(photo.image[60, 80] - np.array(RIGHT, float)).max() < 12
    assert photo.notes == (("rotated",) if orientation > 1 else ())


def test_alpha_goes_over_white() -> None:
    image = sample_image().convert("RGBA")
    image.putalpha(Image.new("L", image.size, 255))
    assert decode(saved(image), "a.png").notes == ()
    image.paste((0, 0, 0, 0), (50, 40, 90, 70))
    photo = decode(saved(image), "a.png")
    assert photo.notes == ("alpha over white",)
    assert photo.image[50, 60].tolist() == [255, 255, 255]
    assert photo.image[8, 8].tolist() == [30, 200, 40]


def test_a_transparent_palette_goes_over_white() -> None:
    image = sample_image().quantize(8)
    data = saved(image, transparency=image.getpixel((80, 40)))
    photo = decode(data, "a.png")
    assert photo.image[40, 80].tolist() == [255, 255, 255]
    assert photo.notes == ("alpha over white",)


@pytest.mark.parametrize("mode", ["L", "1", "LA", "P"])
def test_grey_and_palette_become_three_channels(mode: str) -> None:
    image = sample_image().convert("L").convert(mode)
    photo = decode(saved(image), "a.png")
    assert photo.image.shape == (80, 96, 3)
    assert (photo.image[..., 0] == photo.image[..., 2]).all()


def test_cmyk_is_converted_and_noted() -> None:
    photo = decode(saved(sample_image().convert("CMYK"), "JPEG", quality=95), "a.jpg")
    assert "CMYK without a profile" in photo.notes
    assert photo.image[60, 20, 0] > photo.image[60, 20, 2] + 100


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.tile(np.linspace(0, 65535, 96).astype(np.uint16), (80, 1))
    photo = decode(saved(Image.fromarray(ramp)), "a.png")
    assert photo.notes == ("16 bits to 8",)
    assert np.array_equal(photo.image[0, :, 0], np.round(ramp[0] / 257))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, rows: bytes, *, bits: int = 8, colour: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_sixteen_bits_in_colour_are_scaled() -> None:
    row = b"\0" + np.linspace(0, 65535, 64 * 3).astype(">u2").tobytes()
    photo = decode(png(64, 64, row * 64, bits=16), "a.png")
    assert photo.notes == ("16 bits to 8",)
    assert abs(int(photo.image[0, 32, 0]) - 128) <= 1
    assert photo.image[0, -1, 2] == 255


def test_values_without_a_known_white_are_refused() -> None:
    assert reason(saved(Image.fromarray(np.ones((80, 80), np.float32)), "TIFF")) == "unreadable"


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    second = Image.new("RGB", (96, 80), (1, 2, 3))
    photo = decode(saved(sample_image(), kind, save_all=True, append_images=[second], **options), "a.gif")
    assert close(photo, sample_image())
    assert photo.notes == ("first frame of several",)


def test_a_colour_profile_is_converted() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    image = ImageCms.profileToProfile(sample_image(), ImageCms.createProfile("sRGB"), lab, outputMode="LAB")
    assert image is not None
    photo = decode(saved(image, "TIFF", icc_profile=lab.tobytes()), "a.tif")
    assert photo.notes == ("colour profile to sRGB",)
    assert close(photo, sample_image(), 6)


def test_an_srgb_profile_changes_nothing_and_a_broken_one_is_noted() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert decode(saved(sample_image(), icc_profile=profile), "a.png").notes == ()
    photo = decode(saved(sample_image(), icc_profile=b"nonsense" * 20), "a.png")
    assert photo.notes == ("unreadable colour profile",)
    assert close(photo, sample_image())


def test_no_metadata_survives() -> None:
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: (48.0, 51.0, 30.0)}
    exif[0x010F] = "SECRETCAMERA"
    photo = decode(saved(sample_image(), "JPEG", exif=exif, comment=b"SECRETWORD"), "a.jpg")
    assert b"SECRET" not in pickle.dumps(photo)


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"", "empty"),
        (b"\0" * 4096, "not_a_picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "not_a_picture"),
        (b"<?xml version='1.0'?><svg/>", "not_a_picture"),
        (b"<!DOCTYPE html><html></html>", "not_a_picture"),
        (b"a hand with five fingers", "not_a_picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n", "not_a_picture"),
        (b"\x89PNG\r\n\x1a\n", "unreadable"),
        (png(100_000, 100_000, b"\0" * 1000), "bomb"),
        (png(10_001, 10_000, b"\0" * 1000), "bomb"),
        (png(3000, 64, b"\0" * (64 * 9001)), "aspect"),
        (png(63, 640, b"\0" * (640 * 190)), "too_small"),
    ],
)
def test_what_is_no_use_has_a_reason(data: bytes, wanted: str) -> None:
    assert reason(data) == wanted


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_pixels", lambda *_: pytest.fail("decoded"))
    assert reason(png(20_000, 20_000, b"")) == "bomb"


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    data = saved(sample_image(), "JPEG")
    assert reason(data + b"\xff\xda" * (decoding.MAX_SCANS + 1), "a.jpg") == "bomb"


def noise() -> Image.Image:
    values = generator(0, "tests.regions.noise").integers(0, 256, (80, 96, 3), np.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "BMP"])
def test_half_a_file_is_truncated(kind: str) -> None:
    data = saved(noise(), kind)
    assert reason(data[: len(data) // 2], f"a.{kind}") == "truncated"


def test_the_error_survives_a_process_border_and_is_the_callers() -> None:
    error: PhotoError = pickle.loads(pickle.dumps(PhotoError("bomb", "a.png: too\nlarge")))
    assert issubclass(PhotoError, InputError)
    assert (error.reason, error.line, error.exit_code) == ("bomb", "a.png: too large", 2)


Fuzz = Callable[[bytes, np.random.Generator], bytes]


def flip_header(data: bytes, rng: np.random.Generator) -> bytes:
    array = bytearray(data)
    for place in rng.integers(0, min(len(array), 128), rng.integers(1, 9)):
        array[place] = rng.integers(256)
    return bytes(array)


def flip_anywhere(data: bytes, rng: np.random.Generator) -> bytes:
    array = bytearray(data)
    for place in rng.integers(0, len(array), rng.integers(1, 65)):
        array[place] = rng.integers(256)
    return bytes(array)


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: rng.integers(0, len(data))]


def drop_middle(data: bytes, rng: np.random.Generator) -> bytes:
    start, end = np.sort(rng.integers(0, len(data), 2))
    return data[:start] + data[end:]


def zero_run(data: bytes, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(0, len(data)))
    return data[:start] + b"\0" * len(data[start : start + 400]) + data[start + 400 :]


def huge_number(data: bytes, rng: np.random.Generator) -> bytes:
    """A size field somewhere in the header becomes enormous: bombs, overflows."""
    start = int(rng.integers(4, 64))
    number = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\1\x86\xa0")[rng.integers(3)]
    return data[:start] + number + data[start + 4 :]


def other_head(data: bytes, rng: np.random.Generator) -> bytes:
    return (b"GIF89a", b"\xff\xd8\xff\xe0", b"BM", b"II*\0")[rng.integers(4)] + data[8:]


FUZZERS: tuple[Fuzz, ...] = (flip_header, flip_anywhere, cut, drop_middle, zero_run, huge_number, other_head)


def malformed(count: int) -> Iterator[tuple[str, bytes]]:
    """``count`` malformed files, the same in every run."""
    kinds = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
    exif = Image.Exif()
    exif[decoding.ORIENTATION] = 6
    whole = [saved(noise(), kind) for kind in kinds]
    whole += [saved(noise(), "JPEG", exif=exif, progressive=True), saved(noise().convert("RGBA"), "WEBP")]
    whole += [saved(noise(), "TIFF", compression="tiff_lzw"), saved(noise().convert("CMYK"), "TIFF")]
    for index in range(count):
        rng = generator(0, "tests.regions.fuzz", index)
        fuzz = FUZZERS[index % len(FUZZERS)]
        yield f"{fuzz.__name__}-{index}.jpg", fuzz(whole[int(rng.integers(len(whole)))], rng)


def test_malformed_files_decode_or_have_a_reason(capfd: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    for name, data in malformed(400):
        began = time.perf_counter()
        try:
            photo = decode(data, name)
        except PhotoError as error:
            counts[error.reason] += 1
        else:
            assert photo.image.dtype == np.uint8
            assert photo.image.shape[2] == 3
            counts["decoded"] += 1
        assert time.perf_counter() - began < 2, name
    assert counts.total() == 400
    assert set(counts) <= {"decoded", *decoding.REASONS}
    assert len(counts) >= 5, counts
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
