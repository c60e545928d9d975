"""Operations on single fingers: bent, stretched, swollen, boneless or cut short, along their own bones."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from asap.core.errors import InputError
from asap.core.photos import PartRegion
from asap.core.records import BoolArray, Floats
from asap.degrade.photo.curves import ENDS, PER_BONE, Curve, curve, through
from asap.degrade.photo.fingers import Tube, fingers, signed_angle
from asap.degrade.photo.limb_warp import Composition, footprint, warp_to_curve, with_fragments
from asap.degrade.photo.window import Window

_SHORTEST = 2.5
"""Smallest length of a visible finger in radii. A shorter one points at the camera."""


def visible_to_tip(tube: Tube) -> bool:
    """Whether the finger is visible from its knuckle to its tip."""
    return tube.free_standing and tube.even and tube.length > _SHORTEST * tube.radius


def choose(
    window: Window, count: int, rng: np.random.Generator, *, fit: Callable[[Tube], bool] = visible_to_tip
) -> tuple[list[Tube], list[Tube]]:
    """Up to ``count`` fingers that ``fit`` (free-standing ones have three times the weight), and all fingers.

    Raises:
        InputError: none fits.
    """
    tubes = fingers(window)
    fitting = [tube for tube in tubes if tube.radius > 2.2 and fit(tube)]
    if not fitting:
        raise InputError("no finger of this hand is visible from knuckle to tip; choose another hand or operation")
    weights = np.array([(3.0 if tube.free else 1.0) for tube in fitting])
    picked = rng.choice(len(fitting), size=min(count, len(fitting)), replace=False, p=weights / weights.sum())
    return [fitting[int(n)] for n in sorted(picked)], tubes


def bones(joints: Floats) -> tuple[Floats, Floats]:
    """Lengths (K-1,) in pixels and angles (K-1,) in radians of the bones."""
    steps = np.diff(joints, axis=0)
    return np.linalg.norm(steps, axis=1), np.arctan2(steps[:, 1], steps[:, 0])


def along(tube: Tube, lengths: Floats, angles: Floats, softness: float = 0.22) -> Curve:
    """The curve of bones with other lengths and angles, from the first joint of the tube."""
    steps = lengths[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    joints = np.concatenate([tube.joints[:1], tube.joints[0] + np.cumsum(steps, axis=0)])
    points = tube.curve.points
    before, after = (float(np.linalg.norm(points[a] - points[b])) for a, b in ((0, ENDS), (-1, -1 - ENDS)))
    return curve(joints, before, after, softness)


def ramp(tube: Tube, start: float, span: float) -> Floats:
    """(N,) from 0 to 1 over ``span`` bones, starting ``start`` bones beyond the first joint."""
    share = np.clip((np.arange(len(tube.curve.points)) - ENDS - start * PER_BONE) / (span * PER_BONE), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), dtype=np.float32)


def uncovered_area(window: Window, moved: Sequence[Tube], tubes: Sequence[Tube], *, start: float = 0.5) -> BoolArray:
    """(h, w) where the ``moved`` fingers were."""
    bare = np.zeros(window.shape, dtype=bool)
    for tube in moved:
        bare |= footprint(window, tube, [other for other in tubes if other is not tube], start=start)
    return with_fragments(window, bare)


def names(tubes: Sequence[Tube]) -> str:
    """Names of the tubes, as the detail of an edit lists them."""
    return ",".join(tube.name for tube in tubes)


def _stretched(window: Window, factor: float, count: int, rng: np.random.Generator) -> Composition:
    moved, tubes = choose(window, count, rng)
    layers = []
    for tube in moved:
        lengths, angles = bones(tube.joints)
        # a first bone that is half hidden in the palm is stretched less than the others
        factors = np.array([1 + 0.7 * (factor - 1), *[factor] * (len(lengths) - 1)])
        layers.append(warp_to_curve(window, tube, along(tube, lengths * factors, angles)))
    return Composition(
        layers=layers, bare=uncovered_area(window, moved, tubes), detail={"factor": factor, "fingers": names(moved)}
    )


def elongated(window: Window, severity: int, rng: np.random.Generator, _: Sequence[PartRegion]) -> Composition:
    """Make one finger, or two, far too long."""
    factor = float(rng.uniform(0.95, 1.05)) * (1.32, 1.5, 1.7)[severity - 1]
    return _stretched(window, factor, (1, 1, 2)[severity - 1], rng)


def shortened(window: Window, severity: int, rng: np.random.Generator, _: Sequence[PartRegion]) -> Composition:
    """Make one finger, or two, far too short."""
    factor = float(rng.uniform(0.95, 1.05)) * (0.68, 0.55, 0.45)[severity - 1]
    return _stretched(window, factor, (1, 1, 2)[severity - 1], rng)


def thickened(window: Window, severity: int, rng: np.random.Generator, _: Sequence[PartRegion]) -> Composition:
    """Swell one finger up to the tip, or make it as thin as a stick."""
    moved, tubes = choose(window, 1 if severity < 3 else 2, rng)
    factor = float(rng.uniform(0.95, 1.05)) * (1.4, 1.6, 1.8)[severity - 1]
    if rng.random() < 0.3:
        factor = 1 / factor
    layers = [warp_to_curve(window, tube, tube.curve, wide=1 + (factor - 1) * ramp(tube, 0.1, 0.9)) for tube in moved]
    return Composition(
        layers=layers, bare=uncovered_area(window, moved, tubes), detail={"factor": factor, "fingers": names(moved)}
    )


def reversed_joint(window: Window, severity: int, rng: np.random.Generator, _: Sequence[PartRegion]) -> Composition:
    """Bend one finger, or two, the wrong way at the middle joint."""
    moved, tubes = choose(window, (1, 1, 2)[severity - 1], rng)
    angle = float(rng.uniform(0.9, 1.1)) * np.deg2rad((38, 55, 72)[severity - 1])
    # all fingers of a hand bend to the same side: the side to which they curl in the image
    steps = [np.diff(tube.joints, axis=0) for tube in tubes if not tube.curled and tube.name != "thumb"]
    curl = float(np.sum([signed_angle(step[0], step[-1]) for step in steps])) if steps else 0.0
    fair = float(rng.choice([-1.0, 1.0]))
    layers = []
    for tube in moved:
        lengths, angles = bones(tube.joints)
        step = np.diff(tube.joints, axis=0)
        own = signed_angle(step[0], step[-1])
        lead = own if abs(own) > 0.12 else curl if abs(curl) > 0.2 else fair
        bent = angles.copy()
        bent[1:] = angles[0] - np.sign(lead) * angle * np.linspace(0.85, 1.15, len(angles) - 1)
        layers.append(warp_to_curve(window, tube, along(tube, lengths, bent)))
    return Composition(
        layers=layers, bare=uncovered_area(window, moved, tubes), detail={"angle": angle, "fingers": names(moved)}
    )


def twisted(window: Window, severity: int, rng: np.random.Generator, _: Sequence[PartRegion]) -> Composition:
    """Rotate one finger, or two, sideways out of the knuckle."""
    moved, tubes = choose(window, (1, 1, 2)[severity - 1], rng)
    angle = float(rng.uniform(0.9, 1.1)) * np.deg2rad((28, 42, 55)[severity - 1])
    layers = []
    for tube in moved:
        lengths, angles = bones(tube.joints)
        sign = _outward(tube, tubes, rng)
        swing = np.array([1.0, 0.75, 1.25])[: len(angles)]
        layers.append(warp_to_curve(window, tube, along(tube, lengths, angles + sign * angle * swing)))
    return Composition(
        layers=layers, bare=uncovered_area(window, moved, tubes), detail={"angle": angle, "fingers": names(moved)}
    )


def _outward(tube: Tube, tubes: Sequence[Tube], rng: np.random.Generator) -> float:
    """The direction of rotation that leads the finger over its neighbours: outwards could still be natural."""
    others = [other for other in tubes if other is not tube]
    if not others:
        return float(rng.choice([-1.0, 1.0]))
    middle = np.mean([other.joints.mean(axis=0) for other in others], axis=0)
    return float(np.sign(signed_angle(tube.joints[-1] - tube.joints[0], middle - tube.joints[0])) or 1.0)


def boneless(window: Window, severity: int, rng: np.random.Generator, _: Sequence[PartRegion]) -> Composition:
    """Make fingers like soft tubes: bends between the joints and a varying width."""
    moved, tubes = choose(window, (1, 2, 3)[severity - 1], rng)
    strength = (0.75, 0.9, 1.05)[severity - 1] * float(rng.uniform(0.9, 1.1))
    layers = []
    for tube in moved:
        lengths, angles = bones(tube.joints)
        line = along(tube, lengths, angles, 0.6)
        share = (np.arange(len(line.points)) - ENDS) / (len(line.points) - 2 * ENDS)
        grown = np.clip(3 * share, 0, 1)
        wave = np.sin(2 * np.pi * rng.uniform(0.6, 1.1) * share) * grown * rng.choice([-1.0, 1.0])
        bent = line.points + (strength * tube.radius * wave)[:, None] * line.normals
        wide = 1 + 0.3 * strength * grown * np.sin(2 * np.pi * (rng.uniform(0.8, 1.6) * share + rng.random()))
        bent = ndimage.gaussian_filter1d(bent, 4, axis=0, mode="nearest")
        layers.append(warp_to_curve(window, tube, through(bent), wide=wide))
    return Composition(
        layers=layers, bare=uncovered_area(window, moved, tubes), detail={"strength": strength, "fingers": names(moved)}
    )


def bulging(window: Window, severity: int, rng: np.random.Generator, _: Sequence[PartRegion]) -> Composition:
    """Swell the joints between thin bones."""
    moved, tubes = choose(window, (1, 2, 3)[severity - 1], rng)
    strength = (0.5, 0.6, 0.75)[severity - 1] * float(rng.uniform(0.9, 1.1))
    layers = []
    for tube in moved:
        number = np.arange(len(tube.curve.points))
        middle = ENDS + PER_BONE * (1 + rng.uniform(-0.2, 0.6))
        bump = np.exp(-(((number - middle) / (0.45 * PER_BONE)) ** 2))
        neck = np.exp(-(((number - middle - rng.uniform(0.8, 1.0) * PER_BONE) / (0.4 * PER_BONE)) ** 2))
        layers.append(warp_to_curve(window, tube, tube.curve, wide=1 + strength * bump - 0.6 * strength * neck))
    return Composition(
        layers=layers, bare=uncovered_area(window, moved, tubes), detail={"strength": strength, "fingers": names(moved)}
    )


def cut_short(window: Window, severity: int, rng: np.random.Generator, _: Sequence[PartRegion]) -> Composition:
    """Remove one finger, or two, except for a stump."""
    keep = (0.42, 0.28, 0.28)[severity - 1] * float(rng.uniform(0.9, 1.1))
    return replace(_stretched(window, keep, (1, 1, 2)[severity - 1], rng), detail={"kept": keep, "way": "stump"})


def bent_a_little(window: Window, rng: np.random.Generator) -> Composition:
    """Bend one free-standing finger by a few degrees. A finger beside another would open a gap."""
    moved, tubes = choose(window, 1, rng, fit=lambda tube: visible_to_tip(tube) and tube.free)
    angle = float(rng.uniform(0.04, 0.09) * rng.choice([-1.0, 1.0]))
    lengths, angles = bones(moved[0].joints)
    bent = angles + angle * np.linspace(0.3, 1, len(angles))
    layer = warp_to_curve(window, moved[0], along(moved[0], lengths, bent))
    return Composition(
        layers=[layer], bare=uncovered_area(window, moved, tubes), detail={"angle": angle, "fingers": names(moved)}
    )
