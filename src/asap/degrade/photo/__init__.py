"""Break one part of a person in a photograph on the CPU by warps, removal and grafts.

Both sides of a pair are resampled once from the photograph with the same spline (``compositor``), so they are equally
sharp. Only numpy, scipy and scikit-image are needed.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from asap.core.errors import InputError, UnknownNameError
from asap.core.photos import EditedPhoto, PartRegion
from asap.core.records import ByteArray, Edit, Floats
from asap.core.vocabulary import OPERATIONS, PARTS, SEVERITIES
from asap.core.wholebody import FINGERS
from asap.degrade.operation_table import SEVERITY_SHARES
from asap.degrade.photo import faces, finger_warps, limbs, whole_hand
from asap.degrade.photo.compositor import Layer
from asap.degrade.photo.limb_warp import Composition, composite
from asap.degrade.photo.operation_table import METHODS, OPERATION_TABLE, Entry
from asap.degrade.photo.sampling import pixels, smooth_noise
from asap.degrade.photo.window import MIN_PART_SIDE, Window

__all__ = ["METHODS", "OPERATION_TABLE", "apply", "control_edit", "sample_edit", "unchanged_pair"]

_MIN_EYE_DISTANCE = 14
"""Smallest distance between the eyes, in pixels, of a face that can be edited."""
_DISPLACEMENT = 0.7
"""Standard deviation, in pixels, of the random displacement of a part that is only resampled."""
_FADE_WIDTH = 10.0
"""Distance from the rim of the part, in pixels, from which this displacement has its full strength."""


def sample_edit(
    regions: Sequence[PartRegion],
    rng: np.random.Generator,
    *,
    methods: Sequence[str] = METHODS,
    operations: Sequence[str] | None = None,
) -> tuple[PartRegion, str, str, int]:
    """Sample (region, method, operation, severity) by the weights of the table, among those that the keypoints allow.

    Several regions of one part share its weight.

    Raises:
        InputError: no operation fits.
        UnknownNameError: a method or operation is not known.
    """
    for method in methods:
        _known("method", method, METHODS)
    for operation in operations or ():
        _known("operation", operation, OPERATIONS)
    wanted = set(OPERATIONS if operations is None else operations)
    fitting = {
        key: found
        for key in OPERATION_TABLE
        if key[0] in methods and key[2] in wanted and (found := [r for r in regions if _allows(r, key[1], key[2])])
    }
    if not fitting:
        raise InputError(
            f"no operation of {sorted(wanted)} by {list(methods)} fits any of {len(regions)} parts; offer more"
        )
    keys = list(fitting)
    weights = np.array([OPERATION_TABLE[key].weight for key in keys])
    key = keys[int(rng.choice(len(keys), p=weights / weights.sum()))]
    region = fitting[key][int(rng.integers(len(fitting[key])))]
    return region, key[0], key[2], int(rng.choice(SEVERITIES, p=SEVERITY_SHARES))


def apply(
    image: ByteArray,
    region: PartRegion,
    method: str,
    operation: str,
    severity: int,
    rng: np.random.Generator,
    *,
    regions: Sequence[PartRegion] = (),
) -> EditedPhoto:
    """Break ``region`` of ``image`` (H, W, 3) by ``operation``. Neither argument is changed.

    ``regions`` are all parts in the image: the hand of a limb moves with it, and parts in front stay in front. A higher
    severity (1 to 3) makes a larger change. ``chosen`` has the same traces of resampling as ``rejected``; outside the
    mask the two are bit-identical.

    Raises:
        UnknownNameError: a name is not known.
        InputError: the operation does not fit the part, or the visible area of the part does not allow it.
    """
    _known("method", method, METHODS)
    _known("operation", operation, OPERATIONS)
    _known("part", region.part, PARTS)
    entry = OPERATION_TABLE.get((method, region.part, operation))
    if entry is None:
        fits = ", ".join(f"{o} by {m}" for m, p, o in OPERATION_TABLE if p == region.part) or "none"
        raise InputError(f"no {operation} of a {region.part} by {method}; choose one of: {fits}")
    if severity not in SEVERITIES:
        raise InputError(f"severity must be 1, 2 or 3, not {severity}")
    also = limbs.ending(region, regions) if entry.follows else []
    window = Window(image, region, rng, also=also, margin=1.0 if also else 0.6)
    composition = _first_fitting(entry, window, severity, rng, regions)
    edit = Edit(
        kind="defect",
        part=region.part,
        side=region.side,
        operation=operation,
        severity=severity,
        detail={"method": method, **composition.detail},
    )
    return composite(window, composition, edit)


def control_edit(image: ByteArray, region: PartRegion, rng: np.random.Generator) -> EditedPhoto:
    """Change ``region`` within correct anatomy: a finger bent slightly, a hand rotated slightly, a mouth corner raised.

    In one of four cases, the region is only resampled at a displacement of less than a pixel.

    Raises:
        InputError: the part is too small.
    """
    window = Window(image, region, rng)
    try:
        composition = _resampled(window, rng) if rng.random() < 0.25 else _within_anatomy(window, rng)
    except InputError:
        composition = _resampled(window, rng)
    edit = Edit(
        kind="null_pose", part=region.part, side=region.side, operation="none", severity=0, detail=composition.detail
    )
    return composite(window, composition, edit)


def unchanged_pair(image: ByteArray, region: PartRegion) -> EditedPhoto:
    """The unchanged photograph on both sides, with the part as the mask."""
    edit = Edit(kind="null_equal", part=region.part, side=region.side, operation="none", severity=0)
    mask = np.where(region.mask, np.uint8(255), np.uint8(0))
    return EditedPhoto(chosen=image.copy(), rejected=image.copy(), mask=mask, edit=edit)


def _known(kind: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        raise UnknownNameError(kind, name, names)


def _allows(region: PartRegion, part: str, operation: str) -> bool:
    """Whether the keypoints and the size of ``region`` allow the operation."""
    x0, y0, x1, y1 = region.box
    if region.part != part or min(x1 - x0, y1 - y0) < MIN_PART_SIDE:
        return False
    if part == "hand":
        known = [all(region.point(f"{region.side}_{f}{n}") is not None for n in (1, 2, 3, 4)) for f in FINGERS]
        if operation in ("duplicated", "swapped_side"):
            return region.point(f"{region.side}_hand_root") is not None and not region.cut and any(known)
        return any(known)
    if part == "face":
        points = [region.point(f"face-{n}") for n in range(68)]
        if any(point is None for point in points):
            return False
        eyes: Floats = np.array(points[36:48]).reshape(2, 6, 2).mean(axis=1)
        return float(np.linalg.norm(eyes[1] - eyes[0])) >= 0.7 * _MIN_EYE_DISTANCE
    return limbs.joints_of(region) is not None


def _first_fitting(
    entry: Entry, window: Window, severity: int, rng: np.random.Generator, regions: Sequence[PartRegion]
) -> Composition:
    """The first alternative, in random order, that fits the window."""
    odds = np.array(entry.odds)
    order = rng.choice(len(odds), size=len(odds), replace=False, p=odds / odds.sum())
    fault: InputError | None = None
    for number in order:
        try:
            return entry.functions[int(number)](window, severity, rng, regions)
        except InputError as error:
            fault = fault or error
    raise fault or InputError("no alternative is registered for this operation")


def _within_anatomy(window: Window, rng: np.random.Generator) -> Composition:
    part = window.region.part
    if part == "face":
        return faces.expression(window, rng)
    if part != "hand":
        return limbs.bent_sideways(window, rng, ())
    if rng.random() < 0.5:
        try:
            return finger_warps.bent_a_little(window, rng)
        except InputError:
            pass  # no finger is free-standing: the whole hand can still rotate
    return whole_hand.turned(window, float(rng.uniform(0.03, 0.06) * rng.choice([-1.0, 1.0])))


def _resampled(window: Window, rng: np.random.Generator) -> Composition:
    """The part resampled about a pixel aside, with a displacement that fades towards the rim to keep the outline."""
    where = window.share > 0.5
    inward = ndimage.distance_transform_edt(where)[where]
    aside = _DISPLACEMENT * np.minimum(inward / _FADE_WIDTH, 1)[:, None].astype(np.float32)
    shift = np.stack([smooth_noise(window.shape, 30, rng)[where] for _ in range(2)], axis=1)
    share = np.ones(len(shift), dtype=np.float32)
    layer = Layer(where=where, source=pixels(where) + aside * shift, share=share, image=window.image)
    return Composition(layers=[layer], detail={"way": "remade"})
