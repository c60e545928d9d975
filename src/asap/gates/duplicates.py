"""Near-duplicates by perceptual hash: the signs of the lowest frequencies of a small grey image."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy import fft

from asap.core.errors import InputError
from asap.core.records import ByteArray

_GRID = 32
_LOW = 8
BITS = _LOW * _LOW * 3
"""Bits of a hash: 8x8 cosine coefficients of brightness and two colour differences."""
_WORDS = BITS // 64
_Words = npt.NDArray[np.uint64]


def perceptual_hash(image: ByteArray) -> int:
    """A hash of ``BITS`` bits of an (H, W, 3) uint8 image; images that look alike differ in few bits.

    Colour counts, else the same pose in another scene would be a duplicate.

    Raises:
        InputError: not such an image, or smaller than 32 pixels.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or min(image.shape[:2]) < _GRID:
        raise InputError(f"wanted an (H, W, 3) uint8 image of 32 pixels or more, got {image.shape} {image.dtype}")
    small = _shrink(image)
    red, green, blue = small[:, :, 0], small[:, :, 1], small[:, :, 2]
    planes = np.stack([red + green + blue, red - blue, 2 * green - red - blue])
    low = np.asarray(fft.dctn(planes, axes=(1, 2)))[:, :_LOW, :_LOW].reshape(3, -1)
    # the median of each plane splits its bits evenly; the mean brightness stays in as one of them
    bits = low > np.median(low, axis=1, keepdims=True)
    return int.from_bytes(np.packbits(bits.ravel()).tobytes(), "big")


def _shrink(image: ByteArray) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Means of a 32x32 grid of blocks; sizes that do not divide lose a margin of less than one block."""
    height, width = (side // _GRID * _GRID for side in image.shape[:2])
    cut = image[:height, :width].astype(np.float64)
    return np.asarray(cut.reshape(_GRID, height // _GRID, _GRID, width // _GRID, 3).mean(axis=(1, 3)))


class NearDuplicates:
    """A growing set of images that refuses what it has nearly seen."""

    def __init__(self, radius: int = 10) -> None:
        """Take as duplicates all images within ``radius`` of ``BITS`` bits (Hamming distance)."""
        if not 0 <= radius < BITS:
            raise InputError(f"radius must be from 0 to {BITS - 1} bits, not {radius}")
        self.radius = radius
        self._count = 0
        self._seen = np.zeros((1024, _WORDS), dtype=np.uint64)

    def __len__(self) -> int:
        return self._count

    def add(self, image: ByteArray) -> bool:
        """Remember ``image`` and return True, or return False if one like it is here already."""
        return self.add_code(perceptual_hash(image))

    def add_code(self, code: int) -> bool:
        """The same for an image of which only the hash is at hand."""
        words = _words(code)
        apart = np.bitwise_count(self._seen[: self._count] ^ words).sum(axis=1)
        if (apart <= self.radius).any():
            return False
        self._remember(words)
        return True

    def extend(self, codes: Iterable[int]) -> None:
        """Remember hashes of images that were accepted before, without comparing them."""
        for code in codes:
            self._remember(_words(code))

    def _remember(self, words: _Words) -> None:
        if self._count == len(self._seen):
            self._seen = np.concatenate([self._seen, np.zeros_like(self._seen)])
        self._seen[self._count] = words
        self._count += 1


def _words(code: int) -> _Words:
    """(3,) the bits of a hash, 64 to a number."""
    return np.frombuffer(code.to_bytes(BITS // 8, "big"), dtype=">u8").astype(np.uint64)
