"""Lay a finger or limb along another curve, and find what that leaves bare."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from asap.core.errors import InputError
from asap.core.photos import EditedPhoto
from asap.core.records import Edit
from asap.degrade.photo.arrays import Bools, Floats
from asap.degrade.photo.compositor import Layer
from asap.degrade.photo.curves import ENDS, PER_BONE, Curve
from asap.degrade.photo.fill import fill
from asap.degrade.photo.fingers import Tube
from asap.degrade.photo.sampling import linear, pixels
from asap.degrade.photo.window import Window

_LARGE = 0.4
"""Share of the part that is left bare from which its background must be plain."""
_LIVELY = 45.0
"""Mean grey levels from the median around a hole above which it is not."""
_SMALL = 0.02
"""Share of the part that may be left bare in front of the rest of the body."""
_SLIT = 0.045
"""Half the width, as a share of the square root of the hand's area, of a gap that is no gap between fingers: a quarter
of a finger."""
_TIP = 1.15
"""Radii by which a finger reaches beyond its last keypoint at most."""

Detail = dict[str, float | int | str]


@dataclass(frozen=True, kw_only=True)
class Composition:
    """What an operation wants painted."""

    layers: Sequence[Layer]
    """From the first to the last on top."""
    bare: Bools | None = None
    """(h, w) where the part was and is taken away, before the layers."""
    on_part: bool = False
    """Whether the part itself may be behind, so that what is bare is filled with skin where skin is nearer."""
    barred: Bools | None = None
    """(h, w) what must not be copied into the background."""
    body: Bools | None = None
    """(h, w) the rest of the same person."""
    detail: Detail = field(default_factory=dict)


def composite(window: Window, composition: Composition, edit: Edit) -> EditedPhoto:
    """Fill what the layers leave bare, and paint."""
    if composition.bare is None:
        return window.finish(composition.layers, edit)
    covered = np.zeros(window.shape, dtype=np.float32)
    for layer in composition.layers:
        covered[layer.where] = np.maximum(covered[layer.where], layer.share)
    hole = composition.bare & (covered < 0.99)
    ground = (window.share < 0.02) & ~composition.bare
    if composition.barred is not None:
        ground &= ~composition.barred
    _guessable(window, hole, ground)
    if composition.body is not None:
        _apart(window, hole, composition.body)
    skin = ndimage.minimum_filter(window.share, size=3) > 0.95
    skin &= ~ndimage.binary_dilation(composition.bare)
    if composition.on_part:
        flesh = hole & (ndimage.distance_transform_edt(~skin) < ndimage.distance_transform_edt(~ground))
    else:
        flesh = hole & ndimage.binary_dilation(hole & _between(window, composition.bare, covered), iterations=2)
    plate = fill(window.image, hole & ~flesh, ground)
    if flesh.any() and skin.any():
        plate = np.where(flesh[:, :, None], fill(window.image, flesh, skin), plate)
    return window.finish(composition.layers, edit, plate=plate, hole=hole)


def _between(window: Window, bare: Bools, covered: Floats) -> Bools:
    """(h, w) slits and holes of a hand once its fingers are laid anew: flesh is behind them, and no background."""
    if window.region.part != "hand":
        return np.zeros(window.shape, dtype=bool)
    body = ((window.share > 0.5) & ~bare) | (covered > 0.5)
    reach = max(2, int(_SLIT * window.size))
    padded = np.pad(body, 2 * reach)
    closed = ndimage.distance_transform_edt(~padded) <= reach
    closed = ndimage.distance_transform_edt(closed) > reach
    closed = ndimage.binary_fill_holes(closed | padded)[2 * reach : -2 * reach, 2 * reach : -2 * reach]
    # what is a single pixel wide is the soft rim of what was laid
    return np.asarray(ndimage.binary_opening(closed & ~body, np.ones((2, 2))))


def _guessable(window: Window, hole: Bools, ground: Bools) -> None:
    """Refuse a large hole before a lively background, which nobody could draw right from its surroundings.

    Raises:
        InputError: it is one.
    """
    if hole.sum() < _LARGE * window.mask.sum():
        return
    rim = ndimage.binary_dilation(hole, iterations=max(3, int(0.06 * window.size))) & ground
    spread = float(np.abs(window.image[rim] - np.median(window.image[rim], axis=0)).mean()) if rim.any() else np.inf
    if spread > _LIVELY:
        raise InputError(
            f"what lies behind the {window.region.part} cannot be drawn from its surroundings; choose another operation"
        )


def _apart(window: Window, hole: Bools, body: Bools) -> None:
    """Refuse a hole in front of the rest of the person: cloth and skin would be made up from what lies around.

    Raises:
        InputError: more than half of its surroundings is ``body``.
    """
    if hole.sum() < _SMALL * window.mask.sum():
        return
    around = ndimage.binary_dilation(hole, iterations=max(2, int(0.02 * window.size)))
    around &= ~hole & (window.share < 0.02)
    if around.any() and body[around].mean() > 0.5:
        raise InputError(
            f"behind the {window.region.part} is the rest of the body, which cannot be drawn from its surroundings; "
            "choose another operation"
        )


def uncovered(window: Window, bare: Bools) -> Bools:
    """``bare`` and the crumbs of the part that it cuts off, within the part and its soft rim."""
    labels, count = ndimage.label((window.share > 0.15) & ~bare)
    if count > 1:
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        crumbs = (labels > 0) & (sizes < 0.2 * sizes.max())[labels]
        bare = bare | ndimage.binary_dilation(crumbs, iterations=2)
    return np.asarray(bare & (ndimage.maximum_filter(window.share, size=5) > 0.02))


def near(shape: tuple[int, int], line: Curve, distance: float) -> Bools:
    """(h, w) True within about ``distance`` pixels of the curve."""
    inside = np.zeros(shape, dtype=bool)
    reach = int(np.ceil(distance)) + 1
    low = np.clip(np.floor(line.points.min(axis=0)).astype(int) - reach, 0, None)
    high = np.minimum(np.ceil(line.points.max(axis=0)).astype(int) + reach + 1, np.array(shape)[::-1])
    if (high <= low).any():
        return inside
    cut = (slice(low[1], high[1]), slice(low[0], high[0]))
    seeds = np.ones((high[1] - low[1], high[0] - low[0]), dtype=bool)
    spots = np.rint(line.points).astype(int) - low
    held = ((spots >= 0) & (spots < high - low)).all(axis=1)
    if held.any():
        seeds[spots[held, 1], spots[held, 0]] = False
        inside[cut] = ndimage.distance_transform_edt(seeds) <= distance
    return inside


def warp_to_curve(window: Window, tube: Tube, target: Curve, *, wide: Floats | float = 1.0, root: float = 0.5) -> Layer:
    """The tube laid along ``target`` with ``wide`` (N,) the factor on its width; it fades in over ``root`` bones."""
    factors = np.broadcast_to(np.asarray(wide, dtype=np.float32), (len(target.points),))
    furthest = float((np.maximum(tube.below, tube.above) * factors).max())
    where = near(window.shape, target, furthest + 3)
    along, beside = target.locate(pixels(where))
    beside = beside / target.at(along, factors)
    share = cover_of(window, tube, along, beside, root=root)
    return Layer(where=where, source=tube.curve.places(along, beside), share=share)


def cover_of(window: Window, tube: Tube, along: Floats, beside: Floats, *, root: float = 0.5) -> Floats:
    """(M,) how much the tube covers at source places given along and beside its curve.

    It fades in over ``root`` bones around its first joint, so that the tube grows out of its part.
    """
    limit = tube.limit(along, beside) * _cap(tube, along)
    inside = np.clip(limit + 0.75 - np.abs(beside), 0, 1.5) / 1.5
    if tube.curled:
        ramp: Floats | float = 1.0
    else:
        ramp = np.clip((along - ENDS + 4) / max(root * PER_BONE, 1e-3), 0, 1)
        ramp = ramp * ramp * (3 - 2 * ramp)
    held = linear(window.share, tube.curve.places(along, beside))
    return np.asarray(inside * ramp * held, dtype=np.float32)


def _cap(tube: Tube, along: Floats) -> Floats:
    """(M,) factor on the width that rounds what is seen of its ends: 0 from one radius beyond the last joint."""
    before, after = tube.beyond(along)
    # the tip of a curled finger lies on the palm, where nothing else ends it
    outer = np.maximum(before, after * _TIP / 0.6) if tube.curled else after
    beyond = np.clip(outer / max(_TIP * tube.radius, 1), 0, 1)
    return np.asarray(np.sqrt(1 - beyond**2), dtype=np.float32)


def footprint(window: Window, tube: Tube, others: Sequence[Tube], *, start: float = 0.5) -> Bools:
    """(h, w) pixels that show the tube from ``start`` bones beyond its first joint, with its soft rim."""
    where = near(window.shape, tube.curve, 1.7 * float(np.maximum(tube.below, tube.above).max()) + 4)
    spots = pixels(where)
    along, beside = tube.curve.locate(spots)
    opened = tube.curve.at(along, np.stack([tube.open_below, tube.open_above], axis=1).astype(np.float32))
    rim = np.where(np.where(beside < 0, opened[:, 0], opened[:, 1]) > 0.5, 2.5, -0.5)
    limit = tube.limit(along, beside)
    before, after = tube.beyond(along)
    rim = np.where(after > 0, 2.5, rim)
    beyond = (after < 1.5 * tube.radius) & (
        (before < 1.3 * tube.radius) if tube.curled else along > ENDS + start * PER_BONE
    )
    held = beyond & (np.abs(beside) < limit + rim)
    # what no other finger claims, such as the side of a bent tip, goes with this one
    outer = beyond & ~held & (np.abs(beside) < 1.7 * limit) & (along > ENDS + 1.2 * PER_BONE)
    if tube.curled:
        outer[:] = False
    own = np.abs(beside[outer]) / limit[outer]
    for other in others:
        gap = cKDTree(other.curve.points[ENDS:-4]).query(spots[outer])[0] / (1.1 * other.radius)
        outer[outer], own = gap > own, own[gap > own]
    out = where.copy()
    out[where] = held | outer
    return np.asarray(out & ndimage.binary_dilation(window.share > 0.02, iterations=2))
