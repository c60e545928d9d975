"""Operations on arms, legs and feet: swollen, thin, boneless, too long, bent the wrong way or duplicated."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from scipy import ndimage

from asap.core.errors import InputError
from asap.core.photos import PartRegion
from asap.core.records import BoolArray, Floats
from asap.degrade.photo.compositor import Layer
from asap.degrade.photo.curves import ENDS, Curve, curve, through
from asap.degrade.photo.fingers import Tube, tube
from asap.degrade.photo.limb_warp import Composition, near
from asap.degrade.photo.sampling import linear, pixels
from asap.degrade.photo.window import Window

JOINTS: Final = {
    "arm": (("shoulder",), ("elbow",), ("wrist",)),
    "leg": (("hip",), ("knee",), ("ankle",)),
    "foot": (("heel", "ankle"), ("big_toe", "small_toe")),
    "torso": (("left_shoulder", "right_shoulder"), ("left_hip", "right_hip")),
}
"""The joints of the bones of a part. A foot uses the first known of its names, a torso the middle of both."""
ENDING: Final = {"arm": "hand", "leg": "foot"}
"""The part at the end of a limb, which moves with it."""
_WHOLE: Final = 0.97
"""Share of a hand or foot that must follow its limb."""
_RAGGED: Final = 0.12
"""Radii over which the rim of a limb is smoothed before it is widened. Fuzz of three pixels would become fur."""
_FUZZ: Final = 3.0
"""Largest smoothing in pixels. Larger structures are straps or folds."""


def joints_of(region: PartRegion) -> Floats | None:
    """(K, 2) joints of an arm, leg, foot or torso in image pixels, or None if one is not known."""
    if region.part not in JOINTS:
        return None
    joints = []
    for names in JOINTS[region.part]:
        sided = names if region.part == "torso" else [f"{region.side}_{name}" for name in names]
        found = [point for point in map(region.point, sided) if point is not None]
        if not found or (region.part == "torso" and len(found) < len(names)):
            return None
        joints.append(np.mean(found, axis=0) if region.part == "torso" else found[0])
    return np.stack(joints)


def limb(window: Window, regions: Sequence[PartRegion], *, whole: bool = False) -> Tube:
    """The limb as a tube. ``whole`` extends it over the hand or foot, whose pixels must lie in the window.

    Raises:
        InputError: a joint is not known or the limb points at the camera.
    """
    region = window.region
    found = joints_of(region)
    if found is None:
        raise InputError(f"not all joints of the {region.part} are known; choose another part")
    joints = (found - window.corner).astype(np.float32)
    steps = np.linalg.norm(np.diff(joints, axis=0), axis=1)
    thick = float(window.crop(region.mask).sum() / max(2 * steps.sum(), 1))
    if steps.min() < (1.2 if len(joints) > 2 else 0.7) * thick:
        raise InputError(f"the {region.part} points at the camera; choose another part")
    after = (1.6 if region.part == "foot" else 0.6) * thick
    if whole and region.part in ENDING:
        after = _end_length(window, joints[-1], joints[-1] - joints[-2], regions)
    line = curve(joints, 0.6 * thick, after)
    found_tube = tube(window, region.part, joints, line, [], 1.25 * thick)
    if whole and region.part in ENDING:
        found_tube = _with_end(window, found_tube, regions)
    return replace(found_tube, ends_open=whole or region.part == "foot")


def _with_end(window: Window, limb_: Tube, regions: Sequence[PartRegion]) -> Tube:
    """The limb; beyond its last joint it is as wide as the hand or foot over which it extends.

    Raises:
        InputError: the edge of the image cuts the hand or foot, or the hand or foot does not follow the limb: the moved
            area would end in a straight cut.
    """
    part = ENDING[window.region.part]
    others = ending(window.region, regions)
    if any(other.cut for other in others):
        raise InputError(f"the image edge cuts the {part} of this {window.region.part}; choose another operation")
    spots = np.concatenate([pixels(window.crop(other.mask)) for other in others])
    along, beside = limb_.curve.locate(spots)
    last = len(limb_.curve.points) - 1
    beyond = np.arange(last + 1) > last - ENDS - 2
    below, above = limb_.below.copy(), limb_.above.copy()
    below[beyond] = max(float(-beside.min()), float(below[beyond].max()))
    above[beyond] = max(float(beside.max()), float(above[beyond].max()))
    wider = replace(limb_, below=below, above=above)
    held = (along < last - 1) & (np.abs(beside) <= 1.3 * wider.limit(along, beside) + 1)
    if held.mean() < _WHOLE:
        raise InputError(f"the {part} does not follow its {window.region.part}; choose another operation")
    return wider


def _end_length(window: Window, wrist: Floats, ahead: Floats, regions: Sequence[PartRegion]) -> float:
    """Pixels by which the hand or foot extends beyond the last joint, along the limb.

    Raises:
        InputError: it is not among ``regions``, so it cannot move with the limb.
    """
    ahead = ahead / np.linalg.norm(ahead)
    reach = 0.0
    part = window.region.part
    if not ending(window.region, regions):
        raise InputError(f"the {ENDING[part]} at the end of this {part} is not known; choose another operation")
    for other in ending(window.region, regions):
        spots = pixels(window.crop(other.mask))
        reach = max(reach, float(((spots - wrist) @ ahead).max()) if len(spots) else 0.0)
    return 1.1 * reach + 4


def ending(region: PartRegion, regions: Sequence[PartRegion]) -> list[PartRegion]:
    """The hand or foot of the same side and person."""
    part = ENDING.get(region.part)
    return [r for r in regions if (r.part, r.side, r.person) == (part, region.side, region.person)]


def _warped(
    window: Window, limb_: Tube, target: Curve, regions: Sequence[PartRegion], wide: Floats | float = 1.0
) -> Composition:
    """The limb warped to ``target``. It fades at both ends and lies behind hands and faces that are not its own."""
    factors = np.broadcast_to(np.asarray(wide, dtype=np.float32), (len(target.points),))
    where = near(window.shape, target, float((np.maximum(limb_.below, limb_.above) * factors).max()) * 1.3 + 3)
    along, beside = target.locate(pixels(where))
    beside = beside / target.at(along, factors)
    source = limb_.curve.places(along, beside)
    before = _in_front(window, regions)
    rim = _smooth_coverage(window, limb_) if float(factors.max()) > 1 else window.share
    share = linear(rim, source) * _ends(limb_, along) * (1 - before[where])
    share *= np.clip(1.3 * limb_.limit(along, beside) + 2 - np.abs(beside), 0, 1)
    old = near(window.shape, limb_.curve, float(np.maximum(limb_.below, limb_.above).max()) * 1.3 + 3)
    place, _ = limb_.curve.locate(pixels(old))
    bare = old.copy()
    # under the fading ends is the photograph itself
    bare[old] = _ends(limb_, place) > 0.999
    layer = Layer(where=where, source=source, share=share.astype(np.float32))
    return Composition(
        layers=[layer],
        bare=bare & _visible_part(window) & (before < 0.5),
        barred=_uncopyable(window, regions),
        body=_body(window, regions),
    )


def _smooth_coverage(window: Window, limb_: Tube) -> Floats:
    """(h, w) coverage of the part, with a smoothed rim of the same sharpness."""
    width = min(_RAGGED * limb_.radius, _FUZZ)
    smooth = ndimage.gaussian_filter(window.share, width)
    return np.asarray(np.clip((smooth - 0.5) * 2.5 * max(width, 0.4) / 1.5 + 0.5, 0, 1), dtype=np.float32)


def _visible_part(window: Window) -> BoolArray:
    """(h, w) the part and its soft rim."""
    return np.asarray(ndimage.maximum_filter(window.share, size=5) > 0.02)


def _in_front(window: Window, regions: Sequence[PartRegion]) -> Floats:
    """(h, w) coverage by hands and faces that do not belong to the limb."""
    own = ending(window.region, regions)
    out = np.zeros(window.shape, dtype=np.float32)
    for other in regions:
        nearer = other.part in ("hand", "face") or (other.part == "arm" and window.region.part == "torso")
        if nearer and not any(other is mine for mine in own):
            out = np.maximum(out, ndimage.gaussian_filter(window.crop(other.mask).astype(np.float32), 1))
    return out


def _uncopyable(window: Window, regions: Sequence[PartRegion]) -> BoolArray:
    """(h, w) pixels of parts that must not be copied into the background: hands, feet, faces, arms."""
    out = np.zeros(window.shape, dtype=bool)
    for other in regions:
        if other.part in ("hand", "foot", "face", "arm", "neck"):
            out |= window.crop(other.mask)
    return np.asarray(ndimage.binary_dilation(out, iterations=3))


def _body(window: Window, regions: Sequence[PartRegion]) -> BoolArray:
    """(h, w) the other parts of the same person, except the hand or foot of the limb."""
    mine = [window.region, *ending(window.region, regions)]
    out = np.zeros(window.shape, dtype=bool)
    for other in regions:
        if other.person == window.region.person and not any(other is one for one in mine):
            out |= window.crop(other.mask)
    return out


def _through(limb_: Tube, joints: Floats) -> Curve:
    """The curve through other joints, with ends as long as those of the limb."""
    points = limb_.curve.points
    before, after = (float(np.linalg.norm(points[a] - points[b])) for a, b in ((0, ENDS), (-1, -1 - ENDS)))
    return curve(joints, before, after)


def _ends(limb_: Tube, along: Floats) -> Floats:
    last = len(limb_.curve.points) - 1
    # a foot, and a limb that extends over its hand, have a free end
    # places beyond the curve have the coordinate of its end, and would read the same row of pixels again and again
    end = (last - along) / 1.5 if limb_.ends_open else (last - 2 - along) / (0.5 * ENDS)
    ramp = np.clip(np.minimum((along - 2) / (0.5 * ENDS), end), 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), dtype=np.float32)


def _limb_share(tube_: Tube) -> Floats:
    """(N,) 0 at both ends of the limb, 1 in between and at a free end."""
    number = (np.arange(len(tube_.curve.points)) - ENDS) / (len(tube_.curve.points) - 2 * ENDS)
    end: Floats | float = 1.0 if tube_.ends_open else 1 - number
    return np.asarray(np.clip(np.minimum(number, end) / 0.25, 0, 1), dtype=np.float32)


def thickened(window: Window, severity: int, rng: np.random.Generator, regions: Sequence[PartRegion]) -> Composition:
    """Swell a limb between its ends, or make it as thin as a stick."""
    own = limb(window, regions)
    factor = (1.4, 1.6, 1.8)[severity - 1] * float(rng.uniform(0.95, 1.05))
    if rng.random() < 0.4:
        factor = 1 / factor
    held = _limb_share(own)
    wide = 1 + (factor - 1) * held * held * (3 - 2 * held)
    return replace(_warped(window, own, own.curve, regions, wide), detail={"factor": factor})


def misshapen(window: Window, severity: int, rng: np.random.Generator, regions: Sequence[PartRegion]) -> Composition:
    """Bend a limb between its joints, with lumps and constrictions."""
    own = limb(window, regions)
    strength = (0.55, 0.75, 1.0)[severity - 1] * float(rng.uniform(0.9, 1.1))
    share = (np.arange(len(own.curve.points)) - ENDS) / (len(own.curve.points) - 2 * ENDS)
    held = _limb_share(own)
    wave = np.sin(2 * np.pi * rng.uniform(0.9, 1.5) * share + rng.uniform(-0.4, 0.4)) * held * rng.choice([-1.0, 1.0])
    # a trunk swells and shrinks more than it bends
    bend = (0.3 if own.name == "torso" else 1.0) * strength * own.radius
    points = own.curve.points + (bend * wave)[:, None] * own.curve.normals
    line = through(ndimage.gaussian_filter1d(points, 5, axis=0, mode="nearest"))
    wide = 1 + 0.45 * strength * held * np.sin(2 * np.pi * (rng.uniform(1.0, 1.8) * share + rng.random()))
    return replace(_warped(window, own, line, regions, wide), detail={"strength": strength})


def reversed_joint(
    window: Window, severity: int, rng: np.random.Generator, regions: Sequence[PartRegion]
) -> Composition:
    """Bend the elbow or knee to the other side between the same two ends."""
    own = limb(window, regions)
    start, middle, end = own.joints
    chord = end - start
    length = float(np.linalg.norm(chord))
    across = np.array([-chord[1], chord[0]]) / length
    depth = float((middle - start) @ across)
    wanted = (0.12, 0.2, 0.28)[severity - 1] * length * float(rng.uniform(0.9, 1.1))
    sign = -np.sign(depth) if abs(depth) > 0.03 * length else float(rng.choice([-1.0, 1.0]))
    moved = middle - depth * across + sign * max(wanted, min(abs(depth), 0.3 * length)) * across
    points = own.curve.points
    line = _through(own, np.stack([start, moved, end]))
    # the ends leave the body in their old direction, so that they stay attached
    line = through(points + _limb_share(own)[:, None] * (line.points - points))
    return replace(_warped(window, own, line, regions), detail={"depth": float(wanted / length)})


def _lengthened(window: Window, factor: float, regions: Sequence[PartRegion]) -> Composition:
    own = limb(window, regions, whole=True)
    steps = np.diff(own.joints, axis=0)
    steps[:-1] *= 1 + 0.4 * (factor - 1)
    steps[-1] *= factor
    joints = np.concatenate([own.joints[:1], own.joints[0] + np.cumsum(steps, axis=0)])
    return replace(_warped(window, own, _through(own, joints), regions), detail={"factor": factor})


def elongated(window: Window, severity: int, rng: np.random.Generator, regions: Sequence[PartRegion]) -> Composition:
    """Make a limb or foot far too long. A hand moves with its arm."""
    return _lengthened(window, (1.3, 1.45, 1.65)[severity - 1] * float(rng.uniform(0.96, 1.04)), regions)


def duplicated(window: Window, severity: int, rng: np.random.Generator, regions: Sequence[PartRegion]) -> Composition:
    """Add a copy of the limb, rotated out behind the body from the same root.

    Raises:
        InputError: the copy would be hidden.
    """
    own = limb(window, regions, whole=True)
    angle = np.deg2rad((24, 34, 45)[severity - 1]) * float(rng.uniform(0.9, 1.1))
    front = window.share.copy()
    for other in regions:
        if other.person == window.region.person:
            front = np.maximum(front, ndimage.gaussian_filter(window.crop(other.mask).astype(np.float32), 0.8))
    steps, size = np.diff(own.joints, axis=0), (0.85, 0.97, 1.1)[severity - 1]
    lengths, angles = np.linalg.norm(steps, axis=1), np.arctan2(steps[:, 1], steps[:, 0])
    best: Layer | None = None
    for sign in (-1.0, 1.0):
        swung = angles + sign * angle * np.array([1.0, 1.15])
        ways = size * lengths[:, None] * np.stack([np.cos(swung), np.sin(swung)], axis=1)
        joints = np.concatenate([own.joints[:1], own.joints[0] + np.cumsum(ways, axis=0)])
        layer = _warped(window, own, _through(own, joints), ()).layers[0]
        hidden = ndimage.gaussian_filter(front, 0.03 * window.size)[layer.where]
        layer = Layer(
            where=layer.where,
            source=layer.source,
            share=layer.share * (1 - front[layer.where]),
            light=1 - 0.4 * np.clip(hidden, 0, 1),
        )
        if best is None or layer.share.sum() > best.share.sum():
            best = layer
    if best is None or best.share.sum() < 0.3 * window.share.sum():
        raise InputError("a second limb would be hidden behind the body; choose another operation")
    return Composition(layers=[best], detail={"angle": angle})


def bent_sideways(window: Window, rng: np.random.Generator, regions: Sequence[PartRegion]) -> Composition:
    """Move the middle of the limb slightly to the side, within correct anatomy."""
    own = limb(window, regions)
    amount = float(rng.uniform(0.12, 0.22) * rng.choice([-1.0, 1.0]))
    held = _limb_share(own)
    shift = amount * own.radius * np.sin(np.pi * np.linspace(0, 1, len(held))) * held
    line = through(own.curve.points + shift[:, None] * own.curve.normals)
    return replace(_warped(window, own, line, regions), detail={"amount": amount})
