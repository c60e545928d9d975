"""Warp a finger or limb along another curve, and find the area that this uncovers."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from asap.core.errors import InputError
from asap.core.photos import EditedPhoto
from asap.core.records import BoolArray, Edit, Floats
from asap.degrade.photo.compositor import Layer
from asap.degrade.photo.curves import ENDS, PER_BONE, Curve
from asap.degrade.photo.fill import fill
from asap.degrade.photo.fingers import Tube
from asap.degrade.photo.sampling import linear, pixels
from asap.degrade.photo.window import Window

_LARGE = 0.4
"""Share of the part from which an uncovered area needs a plain background."""
_LIVELY = 45.0
"""Mean difference in grey levels from the median around a hole, above which the background is not plain."""
_SMALL = 0.02
"""Largest share of the part that may be uncovered in front of the rest of the body."""
_SLIT = 0.045
"""Half the width of the narrowest gap between fingers, as a share of the square root of the area of the hand. It is a
quarter of a finger.
"""
_TIP = 1.15
"""Largest distance in radii between the last keypoint of a finger and its tip."""

Detail = dict[str, float | int | str]


@dataclass(frozen=True, kw_only=True)
class Composition:
    """What an operation returns: layers to composite and the area that they uncover."""

    layers: Sequence[Layer]
    """In order; the last one is on top."""
    bare: BoolArray | None = None
    """(h, w) where the part is removed before the layers are composited."""
    on_part: bool = False
    """Whether the part itself may be behind, so that skin fills the uncovered area where skin is nearer."""
    barred: BoolArray | None = None
    """(h, w) pixels that must not be copied into the background."""
    body: BoolArray | None = None
    """(h, w) the rest of the same person."""
    detail: Detail = field(default_factory=dict)


def composite(window: Window, composition: Composition, edit: Edit) -> EditedPhoto:
    """Fill the uncovered area and composite the layers."""
    if composition.bare is None:
        return window.finish(composition.layers, edit)
    covered = np.zeros(window.shape, dtype=np.float32)
    for layer in composition.layers:
        covered[layer.where] = np.maximum(covered[layer.where], layer.share)
    hole = composition.bare & (covered < 0.99)
    ground = (window.share < 0.02) & ~composition.bare
    if composition.barred is not None:
        ground &= ~composition.barred
    _refuse_textured_background(window, hole, ground)
    if composition.body is not None:
        _refuse_body_behind(window, hole, composition.body)
    skin = ndimage.minimum_filter(window.share, size=3) > 0.95
    skin &= ~ndimage.binary_dilation(composition.bare)
    if composition.on_part:
        flesh = hole & (ndimage.distance_transform_edt(~skin) < ndimage.distance_transform_edt(~ground))
    else:
        flesh = hole & ndimage.binary_dilation(hole & _slits(window, composition.bare, covered), iterations=2)
    plate = fill(window.image, hole & ~flesh, ground)
    if flesh.any() and skin.any():
        plate = np.where(flesh[:, :, None], fill(window.image, flesh, skin), plate)
    return window.finish(composition.layers, edit, plate=plate, hole=hole)


def _slits(window: Window, bare: BoolArray, covered: Floats) -> BoolArray:
    """(h, w) slits and holes of a hand after its fingers moved: flesh is behind them, not background."""
    if window.region.part != "hand":
        return np.zeros(window.shape, dtype=bool)
    body = ((window.share > 0.5) & ~bare) | (covered > 0.5)
    reach = max(2, int(_SLIT * window.size))
    padded = np.pad(body, 2 * reach)
    closed = ndimage.distance_transform_edt(~padded) <= reach
    closed = ndimage.distance_transform_edt(closed) > reach
    closed = ndimage.binary_fill_holes(closed | padded)[2 * reach : -2 * reach, 2 * reach : -2 * reach]
    # a slit of one pixel is the soft rim of a layer
    return np.asarray(ndimage.binary_opening(closed & ~body, np.ones((2, 2))))


def _refuse_textured_background(window: Window, hole: BoolArray, ground: BoolArray) -> None:
    """Refuse a large hole in front of a textured background, which cannot be reconstructed from its surroundings.

    Raises:
        InputError: the hole is of this kind.
    """
    if hole.sum() < _LARGE * window.mask.sum():
        return
    rim = ndimage.binary_dilation(hole, iterations=max(3, int(0.06 * window.size))) & ground
    spread = float(np.abs(window.image[rim] - np.median(window.image[rim], axis=0)).mean()) if rim.any() else np.inf
    if spread > _LIVELY:
        raise InputError(
            f"the background behind the {window.region.part} cannot be reconstructed from its surroundings; "
            "choose another operation"
        )


def _refuse_body_behind(window: Window, hole: BoolArray, body: BoolArray) -> None:
    """Refuse a hole in front of the rest of the person: cloth and skin would be invented from the surroundings.

    Raises:
        InputError: more than half of its surroundings is ``body``.
    """
    if hole.sum() < _SMALL * window.mask.sum():
        return
    around = ndimage.binary_dilation(hole, iterations=max(2, int(0.02 * window.size)))
    around &= ~hole & (window.share < 0.02)
    if around.any() and body[around].mean() > 0.5:
        raise InputError(
            f"the body behind the {window.region.part} cannot be reconstructed from its surroundings; "
            "choose another operation"
        )


def with_fragments(window: Window, bare: BoolArray) -> BoolArray:
    """``bare`` plus the fragments of the part that it cuts off, within the part and its soft rim."""
    labels, count = ndimage.label((window.share > 0.15) & ~bare)
    if count > 1:
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        crumbs = (labels > 0) & (sizes < 0.2 * sizes.max())[labels]
        bare = bare | ndimage.binary_dilation(crumbs, iterations=2)
    return np.asarray(bare & (ndimage.maximum_filter(window.share, size=5) > 0.02))


def near(shape: tuple[int, int], line: Curve, distance: float) -> BoolArray:
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
    """The tube warped to ``target``; ``wide`` (N,) scales its width, and it fades in over ``root`` bones."""
    factors = np.broadcast_to(np.asarray(wide, dtype=np.float32), (len(target.points),))
    furthest = float((np.maximum(tube.below, tube.above) * factors).max())
    where = near(window.shape, target, furthest + 3)
    along, beside = target.locate(pixels(where))
    beside = beside / target.at(along, factors)
    share = coverage_of(window, tube, along, beside, root=root)
    return Layer(where=where, source=tube.curve.places(along, beside), share=share)


def coverage_of(window: Window, tube: Tube, along: Floats, beside: Floats, *, root: float = 0.5) -> Floats:
    """(M,) coverage of the tube at source places, given along and beside its curve.

    The coverage fades in over ``root`` bones around the first joint, so that the tube grows out of its part.
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
    """(M,) factor on the width that rounds the visible ends: 0 from one radius beyond the last joint."""
    before, after = tube.beyond(along)
    # the tip of a curled finger lies on the palm, where nothing else limits it
    outer = np.maximum(before, after * _TIP / 0.6) if tube.curled else after
    beyond = np.clip(outer / max(_TIP * tube.radius, 1), 0, 1)
    return np.asarray(np.sqrt(1 - beyond**2), dtype=np.float32)


def footprint(window: Window, tube: Tube, others: Sequence[Tube], *, start: float = 0.5) -> BoolArray:
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
    # pixels that no other finger owns, such as the side of a bent tip, belong to this one
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
