"""The operations of ``break_skeleton``: structural errors of a skeleton, one function each.

To add an operation, write one function and register it with one line per part in ``SKELETON_OPERATIONS``.

Magnitudes are our choice unless a source is named; each tuple is by severity. Every function edits the skeleton in
place, returns what it sampled, and raises ``InputError`` if points that it needs are not known.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np

from asap.core.errors import InputError
from asap.core.records import FloatArray
from asap.degrade.diffusion.editable_skeleton import EditableSkeleton, finger_names, hand_names, row, turn

__all__ = ["SKELETON_OPERATIONS", "SkeletonOperation"]

Detail = dict[str, float | int | str]
SkeletonOperation = Callable[[EditableSkeleton, str, str, int, np.random.Generator], Detail]
"""``(skeleton, part, side, severity, rng) -> detail``: edits the skeleton in place and returns what it sampled."""
_LONGER: Final = (1.35, 1.6, 2.0)
_SHORTER: Final = (0.7, 0.55, 0.4)
_BACKWARDS: Final = tuple(np.radians((50.0, 80.0, 110.0)).tolist())
_DEVIATION: Final = tuple(np.radians((20.0, 35.0, 50.0)).tolist())
_SEPARATION: Final = tuple(np.radians((30.0, 50.0, 75.0)).tolist())
_LIMBS: Final = MappingProxyType({"arm": ("shoulder", "elbow", "wrist"), "leg": ("hip", "knee", "ankle")})
_FACE: Final = MappingProxyType(
    {
        "right eye": (*(f"face-{i}" for i in range(36, 42)), "right_eye"),
        "left eye": (*(f"face-{i}" for i in range(42, 48)), "left_eye"),
        "nose": (*(f"face-{i}" for i in range(27, 36)), "nose"),
        "mouth": tuple(f"face-{i}" for i in range(48, 68)),
    }
)
"""Groups of the 68-point face, and the point of the body that moves with each."""


def _fingers(skeleton: EditableSkeleton, side: str) -> list[int]:
    """The fingers with four known points; ``InputError`` if there are fewer than two, or the root is unknown."""
    found = [f for f in range(5) if skeleton.known(*finger_names(side, f))]
    if len(found) < 2 or not skeleton.known(f"{side}_hand_root"):
        raise InputError(f"the root and two fingers of the {side} hand must be known to break it; choose another part")
    return found


def _sample(pool: list[int], count: int, rng: np.random.Generator) -> list[int]:
    return sorted(int(i) for i in rng.choice(pool, size=min(count, len(pool)), replace=False))


def _joined(numbers: list[int]) -> str:
    return ",".join(map(str, numbers))


def extra_finger(skeleton: EditableSkeleton, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Add one to three fingers, each midway between two neighbours."""
    found = _fingers(skeleton, side)
    gaps = [f for f in found if f + 1 in found]
    if not gaps:
        raise InputError(f"no two neighbouring fingers of the {side} hand are known; choose another operation")
    chosen = _sample(gaps, severity, rng)
    for gap in chosen:
        piece = skeleton.copy((f"{side}_hand_root", *finger_names(side, gap)))
        for name, neighbour in zip(finger_names(side, gap), finger_names(side, gap + 1), strict=True):
            piece[row(name), :2] = (skeleton.at(name) + skeleton.at(neighbour)) / 2
        skeleton.extras.append(piece)
    return {"after": _joined(chosen)}


def missing_finger(skeleton: EditableSkeleton, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Remove one to three fingers."""
    chosen = _sample(_fingers(skeleton, side), severity, rng)
    for finger in chosen:
        skeleton.remove(finger_names(side, finger))
    return {"fingers": _joined(chosen)}


def fused_fingers(skeleton: EditableSkeleton, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Move two to four neighbouring fingers to their mean."""
    found = _fingers(skeleton, side)
    count = min(severity + 1, len(found))
    start = int(rng.integers(len(found) - count + 1))
    chosen = found[start : start + count]
    for joints in zip(*(finger_names(side, f) for f in chosen), strict=True):
        middle = np.mean([skeleton.at(name) for name in joints], axis=0)
        for name in joints:
            skeleton.put(name, middle)
    return {"fingers": _joined(chosen)}


def _scaled_fingers(
    skeleton: EditableSkeleton, side: str, severity: int, rng: np.random.Generator, factor: float
) -> Detail:
    chosen = _sample(_fingers(skeleton, side), (1, 2, 4)[severity - 1], rng)
    for finger in chosen:
        base, *rest = finger_names(side, finger)
        for name in rest:
            skeleton.put(name, skeleton.at(base) + factor * (skeleton.at(name) - skeleton.at(base)))
    return {"fingers": _joined(chosen), "factor": factor}


def elongated_finger(
    skeleton: EditableSkeleton, part: str, side: str, severity: int, rng: np.random.Generator
) -> Detail:
    """Make one, two or four fingers too long."""
    return _scaled_fingers(skeleton, side, severity, rng, _LONGER[severity - 1])


def shortened_finger(
    skeleton: EditableSkeleton, part: str, side: str, severity: int, rng: np.random.Generator
) -> Detail:
    """Make one, two or four fingers too short."""
    return _scaled_fingers(skeleton, side, severity, rng, _SHORTER[severity - 1])


def _reverse(
    skeleton: EditableSkeleton, chain: Sequence[str], carried: Sequence[str], severity: int, sign: float
) -> float:
    """Bend the middle of the chain the other way (``sign`` if it is nearly straight) and move ``carried`` along."""
    bend = skeleton.bend(chain[0], chain[1], chain[2])
    other = -np.sign(bend) if abs(bend) > np.radians(5.0) else sign
    new = float(other * max(abs(bend), _BACKWARDS[severity - 1]))
    skeleton.rotate(carried, skeleton.at(chain[1]), new - bend)
    return new


def _random_sign(rng: np.random.Generator) -> float:
    return 1.0 if rng.random() < 0.5 else -1.0


def reversed_finger(
    skeleton: EditableSkeleton, part: str, side: str, severity: int, rng: np.random.Generator
) -> Detail:
    """Bend one, two or three fingers the wrong way at their second point."""
    chosen = _sample(_fingers(skeleton, side), severity, rng)
    sign, angle = _random_sign(rng), 0.0
    for finger in chosen:
        names = finger_names(side, finger)
        angle = _reverse(skeleton, names[:3], names[2:], severity, sign)
    return {"fingers": _joined(chosen), "angle": angle}


def misshapen_hand(skeleton: EditableSkeleton, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Rotate every known finger at its first three points, each by its own angle."""
    limit = _DEVIATION[severity - 1]
    for finger in _fingers(skeleton, side):
        names = finger_names(side, finger)
        for joint in range(3):
            angle = float(_random_sign(rng) * rng.uniform(0.5, 1.0) * limit)
            skeleton.rotate(names[joint + 1 :], skeleton.at(names[joint]), angle)
    return {"largest": limit}


def duplicated_hand(
    skeleton: EditableSkeleton, part: str, side: str, severity: int, rng: np.random.Generator
) -> Detail:
    """Add a second hand at the same wrist, rotated about it."""
    _fingers(skeleton, side)
    angle = _random_sign(rng) * _SEPARATION[severity - 1]
    piece = skeleton.copy(hand_names(side)[1:])
    piece[:, :2] = turn(piece[:, :2], skeleton.at(f"{side}_hand_root"), angle)
    skeleton.extras.append(piece)
    return {"angle": angle}


def swapped_hand(skeleton: EditableSkeleton, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Mirror the hand about its axis, so that thumb and little finger change places.

    The axis is the line from the root of the hand to the middle of the bases of its fingers.
    """
    found = _fingers(skeleton, side)
    root = skeleton.at(f"{side}_hand_root")
    axis = np.mean([skeleton.at(finger_names(side, f)[0]) for f in found], axis=0) - root
    axis = axis / max(float(np.linalg.norm(axis)), 1e-6)
    for finger in found:
        for name in finger_names(side, finger):
            away = skeleton.at(name) - root
            skeleton.put(name, root + 2 * (away @ axis) * axis - away)
    return {}


def detached_hand(skeleton: EditableSkeleton, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Move the hand away from its arm by a share of its length."""
    found = _fingers(skeleton, side)
    root = skeleton.at(f"{side}_hand_root")
    axis = np.mean([skeleton.at(finger_names(side, f)[3]) for f in found], axis=0) - root
    share = (0.4, 0.7, 1.0)[severity - 1]
    skeleton.translate(hand_names(side)[1:], share * axis)
    return {"share": share}


def _limb(skeleton: EditableSkeleton, part: str, side: str) -> tuple[tuple[str, str, str], tuple[str, ...]]:
    """The three joints of a limb and all points that move with the middle one; ``InputError`` if a joint is unknown."""
    first, middle, last = (f"{side}_{joint}" for joint in _LIMBS[part])
    if not skeleton.known(first, middle, last):
        raise InputError(f"{first}, {middle} and {last} must be known to break the {part}; choose another part")
    if part == "arm":
        return (first, middle, last), hand_names(side)
    return (first, middle, last), (last, f"{side}_big_toe", f"{side}_small_toe", f"{side}_heel")


def _scaled_limb(skeleton: EditableSkeleton, part: str, side: str, factor: float, rng: np.random.Generator) -> Detail:
    (first, middle, last), carried = _limb(skeleton, part, side)
    upper = rng.random() < 0.5
    start, stop = (first, middle) if upper else (middle, last)
    step = (factor - 1.0) * (skeleton.at(stop) - skeleton.at(start))
    skeleton.translate((middle, *carried) if upper else carried, step)
    return {"factor": factor, "bone": "upper" if upper else "lower"}


def elongated_limb(skeleton: EditableSkeleton, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Make the upper or the lower bone too long and move the rest along."""
    return _scaled_limb(skeleton, part, side, _LONGER[severity - 1], rng)


def shortened_limb(skeleton: EditableSkeleton, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Make the upper or the lower bone too short."""
    return _scaled_limb(skeleton, part, side, _SHORTER[severity - 1], rng)


def reversed_limb(skeleton: EditableSkeleton, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Bend the elbow or the knee the other way."""
    chain, carried = _limb(skeleton, part, side)
    return {"angle": _reverse(skeleton, chain, carried, severity, _random_sign(rng))}


def misshapen_limb(skeleton: EditableSkeleton, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Rotate each of the two bones by its own angle, and change the length of the lower one."""
    (first, middle, last), carried = _limb(skeleton, part, side)
    upper, lower = (float(_random_sign(rng) * rng.uniform(0.5, 1.0) * _DEVIATION[severity - 1]) for _ in range(2))
    skeleton.rotate((middle, *carried), skeleton.at(first), upper)
    skeleton.rotate(carried, skeleton.at(middle), lower)
    factor = (_LONGER if rng.random() < 0.5 else _SHORTER)[severity - 1]
    skeleton.translate(carried, (factor - 1.0) * (skeleton.at(last) - skeleton.at(middle)))
    return {"upper": upper, "lower": lower, "factor": factor}


def missing_limb(skeleton: EditableSkeleton, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Remove the hand (severity 1, if known), the points from the wrist or ankle on, or those from the middle on."""
    (_, middle, last), carried = _limb(skeleton, part, side)
    beyond = [name for name in carried if name != last and skeleton.known(name)]
    if severity == 1 and part == "arm" and beyond:
        skeleton.remove(beyond)
        return {"beyond": last}
    skeleton.remove(carried if severity < 3 else (middle, *carried))
    return {"from": middle if severity == 3 else last}


def duplicated_limb(
    skeleton: EditableSkeleton, part: str, side: str, severity: int, rng: np.random.Generator
) -> Detail:
    """Add a second limb at the same shoulder or hip, rotated about it."""
    (first, middle, last), carried = _limb(skeleton, part, side)
    angle = _random_sign(rng) * _SEPARATION[severity - 1]
    piece = skeleton.copy((first, middle, last, *carried))
    piece[:, :2] = turn(piece[:, :2], skeleton.at(first), angle)
    skeleton.extras.append(piece)
    return {"angle": angle}


def _features(skeleton: EditableSkeleton) -> tuple[dict[str, tuple[str, ...]], FloatArray, float]:
    """The known groups of the face, the centre of the face and its size in pixels."""
    known = {key: tuple(n for n in names if skeleton.known(n)) for key, names in _FACE.items()}
    known = {key: names for key, names in known.items() if sum(name.startswith("face") for name in names) > 2}
    if len(known) < 2:
        raise InputError("two features of the face must be known to break its skeleton; choose another part")
    points = np.array([skeleton.at(name) for names in known.values() for name in names])
    return known, points.mean(axis=0), float(np.ptp(points, axis=0).max())


def misshapen_face(skeleton: EditableSkeleton, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Move and rotate eyes, nose and mouth separately."""
    groups, _, size = _features(skeleton)
    reach = (0.06, 0.12, 0.2)[severity - 1]
    for names in groups.values():
        direction = rng.uniform(0, 2 * np.pi)
        skeleton.translate(names, np.array([np.cos(direction), np.sin(direction)], dtype=np.float32) * reach * size)
        centre = np.mean([skeleton.at(name) for name in names], axis=0)
        skeleton.rotate(names, centre, float(_random_sign(rng) * rng.uniform(0.5, 1.0) * _DEVIATION[severity - 1]))
    return {"share": reach}


def missing_feature(
    skeleton: EditableSkeleton, part: str, side: str, severity: int, rng: np.random.Generator
) -> Detail:
    """Remove one to three of eyes, nose and mouth."""
    groups, _, _ = _features(skeleton)
    keys = list(groups)
    chosen = [keys[i] for i in _sample(list(range(len(keys))), severity, rng)]
    for key in chosen:
        skeleton.remove(groups[key])
    return {"features": ",".join(chosen)}


def extra_feature(skeleton: EditableSkeleton, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Add a copy of one to three of eyes, nose and mouth beside the original."""
    groups, _, size = _features(skeleton)
    keys = list(groups)
    chosen = [keys[i] for i in _sample(list(range(len(keys))), severity, rng)]
    for key in chosen:
        piece = skeleton.copy(name for name in groups[key] if name.startswith("face"))
        piece[:, :2] += np.array([0.0, _random_sign(rng) * 0.35 * size])
        skeleton.extras.append(piece)
    return {"features": ",".join(chosen)}


def twisted_face(skeleton: EditableSkeleton, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Rotate eyes, nose and mouth together within the outline of the face."""
    groups, centre, _ = _features(skeleton)
    angle = _random_sign(rng) * _SEPARATION[severity - 1]
    skeleton.rotate((name for names in groups.values() for name in names), centre, angle)
    return {"angle": angle}


def _stretched(skeleton: EditableSkeleton, factor: float) -> Detail:
    groups, centre, _ = _features(skeleton)
    outline = tuple(name for name in (f"face-{i}" for i in range(17)) if skeleton.known(name))
    for name in (*outline, *(name for names in groups.values() for name in names)):
        skeleton.put(name, centre + (skeleton.at(name) - centre) * np.array([1.0, factor]))
    return {"factor": factor}


def elongated_face(skeleton: EditableSkeleton, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Make the face too long, including its outline."""
    return _stretched(skeleton, _LONGER[severity - 1])


def shortened_face(skeleton: EditableSkeleton, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Make the face too short."""
    return _stretched(skeleton, _SHORTER[severity - 1])


SKELETON_OPERATIONS: Final[Mapping[tuple[str, str], SkeletonOperation]] = MappingProxyType(
    {
        ("hand", "extra"): extra_finger,
        ("hand", "missing"): missing_finger,
        ("hand", "fused"): fused_fingers,
        ("hand", "duplicated"): duplicated_hand,
        ("hand", "elongated"): elongated_finger,
        ("hand", "shortened"): shortened_finger,
        ("hand", "reversed_joint"): reversed_finger,
        ("hand", "detached"): detached_hand,
        ("hand", "swapped_side"): swapped_hand,
        ("hand", "misshapen"): misshapen_hand,
        ("arm", "missing"): missing_limb,
        ("arm", "duplicated"): duplicated_limb,
        ("arm", "elongated"): elongated_limb,
        ("arm", "shortened"): shortened_limb,
        ("arm", "reversed_joint"): reversed_limb,
        ("arm", "misshapen"): misshapen_limb,
        ("leg", "missing"): missing_limb,
        ("leg", "duplicated"): duplicated_limb,
        ("leg", "elongated"): elongated_limb,
        ("leg", "shortened"): shortened_limb,
        ("leg", "reversed_joint"): reversed_limb,
        ("leg", "misshapen"): misshapen_limb,
        ("face", "extra"): extra_feature,
        ("face", "missing"): missing_feature,
        ("face", "elongated"): elongated_face,
        ("face", "shortened"): shortened_face,
        ("face", "twisted"): twisted_face,
        ("face", "misshapen"): misshapen_face,
    }
)
"""Every (part, operation) that a skeleton can show. Feet are not drawn; a broken torso or neck would move all."""
