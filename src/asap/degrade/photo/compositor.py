"""Both sides of a pair while they are painted.

Every pixel that moves is looked up once, by one cubic spline. The photograph itself is looked up in the same way at
places that lie up to a pixel beside its own (the trace), so that the right side is resampled as the broken one is and
its sharpness does not tell it.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from asap.core.errors import InputError
from asap.core.records import ByteArray
from asap.core.seeds import generator
from asap.degrade.photo.arrays import Bools, Floats
from asap.degrade.photo.detail import alike, brought_to, strength
from asap.degrade.photo.sampling import Sampler, linear, pixels, smooth_noise

ROOM = 10
"""Pixels around all that is touched, in which the trace dies out."""
_CELL = 12
"""Pixels between the bumps of the trace."""
_TRACE = 0.45
"""Standard deviation of the trace in pixels: positions between pixels come out even."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Something painted over the window: for each pixel of ``where`` its source and how much it covers."""

    where: Bools
    """(h, w)."""
    source: Floats
    """(N, 2) x and y in the window, for the True pixels of ``where`` row by row."""
    share: Floats
    """(N,) in [0, 1]."""
    image: Floats | None = None
    """(h, w, 3) what is looked at; None for the part's own unmixed colour."""
    light: Floats | None = None
    """(N,) factor on the colour, for shadows; None for 1."""


class Compositor:
    """The touched part of a window while its two sides are painted."""

    def __init__(self, image: Floats, colour: Floats, place: tuple[slice, slice], touched: Bools, seed: int) -> None:
        """Look the photograph up along the trace: that is the right side, and what the other starts from.

        ``image``, ``colour`` (the part's own, carried beyond its rim) and ``touched`` (what will be painted) are of the
        whole window; ``place`` are the rows and columns that are worked on; ``seed`` draws the trace.

        Raises:
            InputError: nothing there is touched.
        """
        self._colour = colour
        rows, columns = self.rows, self.columns = place
        self.start = np.array([columns.start, rows.start], dtype=np.float32)
        self._samplers: dict[int, Sampler] = {}
        self.shape = (rows.stop - rows.start, columns.stop - columns.start)
        if not touched[place].any():
            raise InputError("nothing of what was to be painted lies in the image; choose another operation")
        self.trace = self._drawn(touched[place], seed)
        moved = np.abs(self.trace).max(axis=2) > 0
        self.chosen = image[rows, columns].copy()
        self.chosen[moved] = self._look(image, pixels(moved) + self.trace[moved] + self.start)
        self.rejected = self.chosen.copy()
        self._detail = strength(image[rows, columns])
        self._wanted = strength(self.chosen)
        self._kept = self._wanted[moved].mean(axis=0) / np.maximum(self._detail[moved].mean(axis=0), 1e-3)
        """(3,) share of the fine detail that one look-up keeps."""
        self._painted = np.zeros(self.shape, dtype=np.float32)

    def _drawn(self, touched: Bools, seed: int) -> Floats:
        """(h, w, 2) pixels by which every place of both sides is shifted; 0 from ``ROOM`` pixels beyond the touched."""
        fields = [smooth_noise(self.shape, _CELL, generator(seed, axis)) for axis in ("x", "y")]
        taper = np.clip(1 - ndimage.distance_transform_edt(~touched) / ROOM, 0, 1)
        drawn = _TRACE * np.stack(fields, axis=2) * np.minimum(2 * taper, 1)[:, :, None]
        return np.asarray(drawn, dtype=np.float32)

    def _look(self, image: Floats, points: Floats) -> Floats:
        if id(image) not in self._samplers:
            self._samplers[id(image)] = Sampler(image[self.rows, self.columns])
        return self._samplers[id(image)].at(points - self.start)

    def under(self, plate: Floats, hole: Bools) -> None:
        """Put ``plate`` (of the window) where ``hole`` is, with a soft rim."""
        hole = hole[self.rows, self.columns]
        soft = ndimage.gaussian_filter(hole.astype(np.float32), 0.7) * ndimage.binary_dilation(hole)
        where = soft > 0
        weight = soft[where][:, None]
        colour = self._look(plate, pixels(where) + self.trace[where] + self.start)
        self._mix(where, weight, colour, (strength(plate[self.rows, self.columns]) * self._kept)[where])

    def paint(self, layer: Layer) -> None:
        """Put ``layer`` on top."""
        image = self._colour if layer.image is None else layer.image
        some = layer.share > 0.004
        where = layer.where.copy()
        where[layer.where] = some
        where = where[self.rows, self.columns]
        if not where.any():
            return  # all of it lies beyond the image's edge
        source, share = layer.source[some], layer.share[some][:, None]
        colour = self._look(image, source + self.trace[where])
        places = np.clip(source - self.start, 0, np.array(self.shape[::-1]) - 1).astype(np.float32)
        detail = np.stack([linear(self._detail[:, :, k], places) for k in (0, 1, 2)], axis=1) * self._kept
        if layer.light is not None:
            light = layer.light[some][:, None]
            colour, detail = colour * light, detail * light
        self._mix(where, share, colour, detail)

    def _mix(self, where: Bools, share: Floats, colour: Floats, detail: Floats) -> None:
        """Put ``colour`` (N, 3) and the strength of its fine detail (N, 3) on top, covering by ``share`` (N, 1)."""
        self.rejected[where] = share * colour + (1 - share) * self.rejected[where]
        self._wanted[where] = share * detail + (1 - share) * self._wanted[where]
        self._painted[where] = np.maximum(self._painted[where], share[:, 0])

    def sides(self) -> tuple[ByteArray, ByteArray]:
        """(h, w, 3) the right and the broken side."""
        share, same = ndimage.gaussian_filter(self._painted, 1.0), alike(self.chosen, self.rejected)
        wanted = same * strength(self.chosen) + (1 - same) * self._wanted
        return _bytes(self.chosen), _bytes(brought_to(self.rejected, wanted, share))


def _bytes(values: Floats) -> ByteArray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def difference(chosen: ByteArray, rejected: ByteArray) -> Bools:
    """(h, w) where the sides differ by more than rounding, closed and grown by 3 pixels."""
    differs = np.abs(chosen.astype(np.int16) - rejected.astype(np.int16)).max(axis=2) > 2
    differs = ndimage.binary_opening(differs, np.ones((2, 2)))
    grown = np.pad(ndimage.binary_dilation(differs, iterations=3), 4)
    return np.asarray(ndimage.binary_closing(grown, iterations=3)[4:-4, 4:-4])
