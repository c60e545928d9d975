"""Near-duplicates by perceptual hash: the signs of the lowest frequencies of a small grey image."""

from array import array
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import fft

from asap.core.errors import InputError
from asap.core.records import ByteArray

_GRID = 32
_LOW = 8
BITS = _LOW * _LOW * 3
"""Bits of a hash: 8x8 cosine coefficients of brightness and two colour differences."""


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
    """A growing set of perceptual hashes that refuses hashes close to one it holds.

    The index is exact (pigeonhole principle): the bits are dealt into ``radius + 1`` bands, so two hashes that differ
    in at most ``radius`` bits agree in at least one band. Only hashes that share a band are compared. The hashes of one
    band value form a linked list in two integer arrays, which take 4 bytes per hash and band.
    """

    def __init__(self, radius: int = 10) -> None:
        """Treat images within ``radius`` of ``BITS`` bits (Hamming distance) as duplicates.

        Raises:
            InputError: ``radius`` is negative or not below ``BITS``.
        """
        if not 0 <= radius < BITS:
            raise InputError(f"radius must be from 0 to {BITS - 1} bits, not {radius}")
        self.radius = radius
        self._codes: list[int] = []
        self._bands = tuple(_Band(start, radius + 1) for start in range(radius + 1))

    def __len__(self) -> int:
        return len(self._codes)

    def add(self, image: ByteArray) -> bool:
        """Remember ``image`` and return True, or return False if a near-duplicate is known."""
        return self.add_code(perceptual_hash(image))

    def add_code(self, code: int) -> bool:
        """Do the same for the perceptual hash of an image."""
        values = [band.value(code) for band in self._bands]
        for band, value in zip(self._bands, values, strict=True):
            place = band.last.get(value, -1)
            while place >= 0:
                if (self._codes[place] ^ code).bit_count() <= self.radius:
                    return False
                place = band.before[place]
        self._remember(code, values)
        return True

    def extend(self, codes: Iterable[int]) -> None:
        """Remember hashes of images that were accepted before, without comparing them."""
        for code in codes:
            self._remember(code, [band.value(code) for band in self._bands])

    def _remember(self, code: int, values: Sequence[int]) -> None:
        for band, value in zip(self._bands, values, strict=True):
            band.before.append(band.last.get(value, -1))
            band.last[value] = len(self._codes)
        self._codes.append(code)


class _Band:
    """Every ``step``-th bit of a hash, and which known hashes have the same ones.

    Neighbouring bits are alike in many images; bits far apart spread the hashes over more values.
    """

    def __init__(self, start: int, step: int) -> None:
        self.mask = sum(1 << bit for bit in range(start, BITS, step))
        self.last: dict[int, int] = {}
        """Place of the last hash with a band value."""
        self.before = array("i")
        """Place of the hash before each one in its list, -1 at the end."""

    def value(self, code: int) -> int:
        """The bits of the band, at their places."""
        return code & self.mask
