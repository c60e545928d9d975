"""Rows of fingers that lie side by side, with coordinates across the row (which finger) and along it (how far).

Leaving out an interval across the row closes it over a missing finger. Reading an interval twice adds a finger. Reading
over the crease between two fingers fuses them. Nothing has to be pasted or painted over.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from asap.core.errors import InputError
from asap.core.photos import PartRegion
from asap.core.records import BoolArray, Floats
from asap.core.wholebody import FINGERS
from asap.degrade.photo.compositor import Layer
from asap.degrade.photo.curves import ENDS, Curve, through
from asap.degrade.photo.fingers import Tube, fingers
from asap.degrade.photo.limb_warp import Composition, footprint, near, warp_to_curve, with_fragments
from asap.degrade.photo.poisson import membrane
from asap.degrade.photo.sampling import pixels
from asap.degrade.photo.window import Window

_TOUCH = 1.35
"""Two fingers are neighbours if their middles are closer than this factor times the sum of their radii."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """F fingers side by side, and the M pixels that show them."""

    tubes: Sequence[Tube]
    where: BoolArray
    """(h, w)."""
    across: Floats
    """(M,) in [0, F]: finger n covers n to n + 1."""
    along: Floats
    """(M,) position along the curve of the finger, in samples."""
    weight: Floats
    """(M,) 1 on the fingers, fading to 0 beyond their ends and sides."""
    signs: Floats
    """(F,) whether the normals of a finger point to the next finger."""

    def local(self, across: float) -> Floats:
        """(N,) half the width of a finger along the row at ``across``."""
        halves = np.stack([0.5 * (tube.below + tube.above) for tube in self.tubes])
        place = np.clip(across - 0.5, 0, len(self.tubes) - 1)
        low = int(min(place, len(self.tubes) - 2))
        return np.asarray(halves[low] + (place - low) * (halves[low + 1] - halves[low]), dtype=np.float32)

    def places(self, across: Floats, along: Floats) -> Floats:
        """(M, 2) pixels of the coordinates."""
        out = np.empty((len(across), 2), dtype=np.float32)
        number = np.clip(np.floor(across).astype(int), 0, len(self.tubes) - 1)
        for n, tube in enumerate(self.tubes):
            own = number == n
            beside = 2 * (across[own] - n - 0.5) * self.signs[n]
            out[own] = tube.curve.places(along[own], beside * tube.limit(along[own], beside))
        return out


def rows(tubes: Sequence[Tube]) -> list[list[Tube]]:
    """The fingers except the thumb, in groups of two or more neighbours that touch."""
    groups: list[list[Tube]] = []
    for name in FINGERS[1:]:
        tube = next((t for t in tubes if t.name == name), None)
        if tube is None:
            groups.append([])
        elif groups and groups[-1] and _touch(groups[-1][-1], tube):
            groups[-1].append(tube)
        else:
            groups.append([tube])
    return [group for group in groups if len(group) > 1]


def _touch(first: Tube, second: Tube) -> bool:
    if first.curled != second.curled or not all(tube.curled or tube.ends_open for tube in (first, second)):
        return False
    if len(first.curve.points) != len(second.curve.points):
        return False
    body = slice(ENDS, -ENDS)
    gap = np.linalg.norm(first.curve.points[body] - second.curve.points[body], axis=1)
    side_by_side = float((first.curve.tangents[body] * second.curve.tangents[body]).sum(axis=1).mean()) > 0.75
    return side_by_side and float(np.median(gap)) < _TOUCH * (first.radius + second.radius)


def read_row(window: Window, tubes: Sequence[Tube]) -> Row:
    """Compute the coordinates of the pixels of a row of fingers."""
    where = np.zeros(window.shape, dtype=bool)
    for tube in tubes:
        where |= near(window.shape, tube.curve, 1.1 * float(np.maximum(tube.below, tube.above).max()))
    spots = pixels(where)
    signs = _signs(tubes)
    best = np.full(len(spots), np.inf)
    across, along = np.zeros(len(spots), dtype=np.float32), np.zeros(len(spots), dtype=np.float32)
    for n, tube in enumerate(tubes):
        place, beside = tube.curve.locate(spots)
        gap = cKDTree(tube.curve.points).query(spots)[0] / tube.limit(place, beside)
        nearer = gap < best
        best[nearer] = gap[nearer]
        share = signs[n] * beside / tube.limit(place, beside)
        across[nearer] = (n + 0.5 + 0.5 * np.clip(share, -1.5, 1.5))[nearer]
        along[nearer] = place[nearer]
    radius = float(np.mean([tube.radius for tube in tubes]))
    ends = np.clip((1.3 - np.maximum(*tubes[0].beyond(along)) / radius) / 0.9, 0, 1)
    inside = (across > 0) & (across < len(tubes)) & (best < 1.1)
    return Row(
        tubes=tubes,
        where=where,
        across=np.clip(across, 0, len(tubes)),
        along=along,
        weight=(ends * inside).astype(np.float32),
        signs=signs,
    )


def _signs(tubes: Sequence[Tube]) -> Floats:
    signs = []
    for n in range(len(tubes)):
        first, second = (n, n + 1) if n + 1 < len(tubes) else (n - 1, n)
        body = slice(ENDS, -ENDS)
        step = tubes[second].curve.points[body] - tubes[first].curve.points[body]
        signs.append(np.sign((step * tubes[n].curve.normals[body]).sum(axis=1).mean()) or 1.0)
    return np.array(signs, dtype=np.float32)


def _group(window: Window, least: int, rng: np.random.Generator) -> list[Tube]:
    groups = [group for group in rows(fingers(window)) if len(group) >= least]
    if not groups:
        raise InputError(f"no {least} fingers of this hand lie side by side; choose another hand or operation")
    return groups[int(rng.integers(len(groups)))]


def _resampled_row(
    window: Window,
    group: Sequence[Tube],
    order: Sequence[int],
    rng: np.random.Generator,
    spread: float,
    grown: float = 1.0,
) -> Composition:
    """The row resampled: ``order`` lists the fingers to show; ``spread`` varies their widths and places.

    ``grown`` is the factor on the width of the row.
    """
    row = read_row(window, group)
    widths = rng.uniform(1 - spread, 1 + spread, size=len(order))
    edges = np.concatenate([[0], np.cumsum(widths)]) / widths.sum() * len(group)
    edges = 0.5 * len(group) + grown * (edges - 0.5 * len(group))
    layers = []
    for slot, number in enumerate(order):
        tube = group[number]
        middle, width = 0.5 * (edges[slot] + edges[slot + 1]), edges[slot + 1] - edges[slot]
        line = _between(row, middle)
        shift = rng.uniform(-1, 1) * spread * 1.5 * tube.radius * (order.count(number) > 1)
        line = through(line.points + shift * line.tangents)
        here = row.local(middle)
        layers.append(warp_to_curve(window, tube, line, wide=width * here / (0.5 * (tube.below + tube.above))))
    bare = np.zeros(window.shape, dtype=bool)
    for tube in group:
        bare |= footprint(
            window, tube, [other for other in group if other is not tube], start=0.0 if tube.curled else 0.8
        )
    return Composition(layers=layers, bare=with_fragments(window, bare), on_part=group[0].curled)


def _between(row: Row, across: float) -> Curve:
    """The curve at position ``across`` of a row."""
    number = np.arange(len(row.tubes[0].curve.points), dtype=np.float32)
    low = int(np.clip(np.floor(across - 0.5), 0, len(row.tubes) - 2))
    part = across - 0.5 - low
    first, second = row.tubes[low].curve.points[number.astype(int)], row.tubes[low + 1].curve.points[number.astype(int)]
    points = first + part * (second - first)
    return through(ndimage.gaussian_filter1d(points, 2, axis=0, mode="nearest"))


def missing(window: Window, severity: int, rng: np.random.Generator, _: Sequence[PartRegion]) -> Composition:
    """Remove one finger of a row and close the gap; two fingers at severity 3."""
    group = _group(window, 4 if severity == 3 else 3, rng)
    count = 2 if severity == 3 else 1
    gone = [int(n) for n in rng.choice(len(group), size=count, replace=False)]
    order = [n for n in range(len(group)) if n not in gone]
    composition = _resampled_row(window, group, order, rng, (0.08, 0.15, 0.15)[severity - 1])
    return replace(composition, detail={"fingers": ",".join(group[n].name for n in gone), "way": "closed"})


def extra(window: Window, severity: int, rng: np.random.Generator, _: Sequence[PartRegion]) -> Composition:
    """Add one finger to a row; two fingers at severity 3."""
    group = _group(window, 3, rng)
    twice = sorted(int(n) for n in rng.choice(len(group), size=2 if severity == 3 else 1, replace=False))
    order = sorted([*range(len(group)), *twice])
    spread, grown = ((0.1, 1.0), (0.15, 1.08), (0.15, 1.2))[severity - 1]
    composition = _resampled_row(window, group, order, rng, spread, grown)
    return replace(composition, detail={"fingers": ",".join(group[n].name for n in twice), "way": "woven"})


def fused(window: Window, severity: int, rng: np.random.Generator, _: Sequence[PartRegion]) -> Composition:
    """Give two neighbours (three at severity 3) a common skin."""
    group = _group(window, 2, rng)
    count = min({1: 1, 2: 1, 3: 2}[severity], len(group) - 1)
    start = int(rng.integers(len(group) - count))
    row = read_row(window, group)
    reach = (0.75, 1.0, 1.0)[severity - 1]
    image, hole = window.image, np.zeros(window.shape, dtype=bool)
    for crease in range(start + 1, start + count + 1):
        image, band = _common_skin(window, image, row, crease, reach, rng)
        hole |= band
    if not hole.any():
        raise InputError("the fingers of this hand do not touch; choose another operation")
    spots = pixels(hole)
    layer = Layer(where=hole, source=spots, share=np.ones(len(spots), dtype=np.float32), image=image)
    joined = ",".join(tube.name for tube in group[start : start + count + 1])
    return Composition(layers=[layer], detail={"fingers": joined, "reach": reach})


def _common_skin(
    window: Window, image: Floats, row: Row, crease: int, reach: float, rng: np.random.Generator
) -> tuple[Floats, BoolArray]:
    """``image`` with the texture of the back of a finger cloned over the crease, and the area of the clone."""
    last = len(row.tubes[0].curve.points) - 1
    run = (row.along - ENDS) / (last - 2 * ENDS)
    # the band is widest in its middle and has pointed ends
    part = np.clip((run - 0.02) / reach, 0, 1)
    wide = 0.42 * np.clip(4 * part * (1 - part), 0, 1) ** 0.35
    band = row.where.copy()
    band[row.where] = np.abs(row.across - crease) < wide
    band &= ndimage.minimum_filter(window.share, size=3) > 0.9
    if not band.any():
        return image, band
    side = float(rng.choice([-1.0, 1.0]))
    inside = band[row.where]
    place = row.places((row.across[inside] + 0.5 * side).clip(0, len(row.tubes)).astype(np.float32), row.along[inside])
    spots = np.clip(np.rint(place).astype(int), 0, np.array(window.shape)[::-1] - 1)
    grain = window.image - ndimage.gaussian_filter(window.image, (2, 2, 0))
    skin = membrane(image, band)
    skin[band] += grain[spots[:, 1], spots[:, 0]]
    return skin, band
