"""Compositing of layers onto both sides of a pair.

Every pixel that moves is resampled once, with one cubic spline. The unedited side is resampled in the same way, at
positions up to one pixel away (the trace), so that sharpness does not reveal which side is edited.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from asap.core.errors import InputError
from asap.core.records import BoolArray, ByteArray, Floats
from asap.core.seeds import generator
from asap.degrade.photo.detail import match_strength, similarity, strength
from asap.degrade.photo.sampling import Sampler, linear, pixels, smooth_noise

MARGIN = 10
"""Margin in pixels around the touched area, in which the trace fades to 0."""
_CELL = 12
"""Distance in pixels between the bumps of the trace."""
_TRACE = 0.45
"""Standard deviation of the trace in pixels. At this value, all sub-pixel positions are about equally frequent."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer over the window: for each pixel of ``where`` its source position and its coverage."""

    where: BoolArray
    """(h, w)."""
    source: Floats
    """(N, 2) x and y in the window, for the True pixels of ``where`` row by row."""
    share: Floats
    """(N,) coverage in [0, 1]."""
    image: Floats | None = None
    """(h, w, 3) image that is resampled; None for the colour of the part without background."""
    light: Floats | None = None
    """(N,) factor on the colour, for shadows; None for 1."""


class Compositor:
    """Composites layers onto the touched area of a window, for both sides of a pair."""

    def __init__(
        self, image: Floats, colour: Floats, place: tuple[slice, slice], touched: BoolArray, seed: int
    ) -> None:
        """Resample the photograph along the trace. The result is the chosen side and the start of the rejected side.

        ``image``, ``colour`` (of the part, extended beyond its rim) and ``touched`` (True where layers will be) cover
        the whole window. ``place`` are the rows and columns to work on. ``seed`` seeds the trace.

        Raises:
            InputError: the touched area is empty.
        """
        self._colour = colour
        rows, columns = self.rows, self.columns = place
        self.start = np.array([columns.start, rows.start], dtype=np.float32)
        self._samplers: dict[int, Sampler] = {}
        self.shape = (rows.stop - rows.start, columns.stop - columns.start)
        if not touched[place].any():
            raise InputError("the edited area lies outside the image; choose another operation")
        self.trace = self._trace_field(touched[place], seed)
        moved = np.abs(self.trace).max(axis=2) > 0
        self.chosen = image[rows, columns].copy()
        self.chosen[moved] = self._read(image, pixels(moved) + self.trace[moved] + self.start)
        self.rejected = self.chosen.copy()
        self._detail = strength(image[rows, columns])
        self._wanted = strength(self.chosen)
        self._kept = self._wanted[moved].mean(axis=0) / np.maximum(self._detail[moved].mean(axis=0), 1e-3)
        """(3,) share of the fine detail that remains after resampling once."""
        self._painted = np.zeros(self.shape, dtype=np.float32)

    def _trace_field(self, touched: BoolArray, seed: int) -> Floats:
        """(h, w, 2) displacement in pixels of both sides; 0 from ``MARGIN`` pixels beyond the touched area."""
        fields = [smooth_noise(self.shape, _CELL, generator(seed, axis)) for axis in ("x", "y")]
        taper = np.clip(1 - ndimage.distance_transform_edt(~touched) / MARGIN, 0, 1)
        drawn = _TRACE * np.stack(fields, axis=2) * np.minimum(2 * taper, 1)[:, :, None]
        return np.asarray(drawn, dtype=np.float32)

    def _read(self, image: Floats, points: Floats) -> Floats:
        if id(image) not in self._samplers:
            self._samplers[id(image)] = Sampler(image[self.rows, self.columns])
        return self._samplers[id(image)].at(points - self.start)

    def under(self, plate: Floats, hole: BoolArray) -> None:
        """Put ``plate`` (of the window) where ``hole`` is True, with a soft rim."""
        hole = hole[self.rows, self.columns]
        soft = ndimage.gaussian_filter(hole.astype(np.float32), 0.7) * ndimage.binary_dilation(hole)
        where = soft > 0
        weight = soft[where][:, None]
        colour = self._read(plate, pixels(where) + self.trace[where] + self.start)
        self._mix(where, weight, colour, (strength(plate[self.rows, self.columns]) * self._kept)[where])

    def paint(self, layer: Layer) -> None:
        """Composite ``layer`` on top."""
        image = self._colour if layer.image is None else layer.image
        some = layer.share > 0.004
        where = layer.where.copy()
        where[layer.where] = some
        where = where[self.rows, self.columns]
        if not where.any():
            return  # the whole layer lies outside the image
        source, share = layer.source[some], layer.share[some][:, None]
        colour = self._read(image, source + self.trace[where])
        places = np.clip(source - self.start, 0, np.array(self.shape[::-1]) - 1).astype(np.float32)
        detail = np.stack([linear(self._detail[:, :, k], places) for k in (0, 1, 2)], axis=1) * self._kept
        if layer.light is not None:
            light = layer.light[some][:, None]
            colour, detail = colour * light, detail * light
        self._mix(where, share, colour, detail)

    def _mix(self, where: BoolArray, share: Floats, colour: Floats, detail: Floats) -> None:
        """Composite ``colour`` (N, 3) with fine detail of strength (N, 3) on top, with coverage ``share`` (N, 1)."""
        self.rejected[where] = share * colour + (1 - share) * self.rejected[where]
        self._wanted[where] = share * detail + (1 - share) * self._wanted[where]
        self._painted[where] = np.maximum(self._painted[where], share[:, 0])

    def sides(self) -> tuple[ByteArray, ByteArray]:
        """(h, w, 3) the chosen and the rejected side."""
        share, same = ndimage.gaussian_filter(self._painted, 1.0), similarity(self.chosen, self.rejected)
        wanted = same * strength(self.chosen) + (1 - same) * self._wanted
        return _bytes(self.chosen), _bytes(match_strength(self.rejected, wanted, share))


def _bytes(values: Floats) -> ByteArray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def difference(chosen: ByteArray, rejected: ByteArray) -> BoolArray:
    """(h, w) where the sides differ by more than rounding, closed and dilated by 3 pixels."""
    differs = np.abs(chosen.astype(np.int16) - rejected.astype(np.int16)).max(axis=2) > 2
    differs = ndimage.binary_opening(differs, np.ones((2, 2)))
    grown = np.pad(ndimage.binary_dilation(differs, iterations=3), 4)
    return np.asarray(ndimage.binary_closing(grown, iterations=3)[4:-4, 4:-4])
