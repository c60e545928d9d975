"""The judge ``landmarks``: presence, lengths and angles of detected landmarks; it does not count fingers.

A landmarker places 21 regular points on a malformed hand, so it cannot report every defect. Perspective shortens bones
in an image, so only a bone that is too long is evidence by itself. Units: a bone's length is
taken in trunk lengths by the table of Drillis and Contini (1966); angles are in the image's plane.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from asap.benchmark.verdict import Verdict
from asap.core.hashing import digest_json
from asap.core.photos import PartRegion
from asap.core.records import FloatArray
from asap.core.wholebody import FINGERS

__all__ = ["RULES", "examine"]

SIDES: Final = ("left", "right")
BONES: Final = {
    ("shoulder", "elbow"): ("arm", 1.75),
    ("elbow", "wrist"): ("arm", 2.0),
    ("hip", "knee"): ("leg", 1.2),
    ("knee", "ankle"): ("leg", 1.2),
}
"""The part a bone belongs to, and how many times it goes into the trunk's length."""
LONG: Final = 1.45
"""Times its share of the body's size, as the other bones tell it, from which a bone is too long."""
FINGER_LONG: Final = 1.5
"""Times the palm's length from which a finger is too long; the longest finger has about 1.0 of it."""
BEND: Final = 0.9
"""Radians by which a finger's joints may bend against each other, together."""
LEAST: Final = 3
"""Other bones that must be known before one can be called too long."""
RULES: Final = digest_json(
    {"bones": [[*names, *rest] for names, rest in BONES.items()], "limits": [LONG, FINGER_LONG, BEND, LEAST]}
)
"""Hash of everything above; with the landmarker's own it is the judge's fingerprint."""

Points = Mapping[str, FloatArray]


def examine(regions: Sequence[PartRegion], wanted: Iterable[str]) -> Verdict:
    """A verdict from the parts of all people in one image.

    ``probability`` is not one: it is 0.5 at a limit, and a logistic curve of how far the worst measure is from its own.
    """
    if not regions:
        return Verdict(
            fails=None, probability=None, parts={}, not_visible=tuple(wanted), attributes={}, reason="no person found"
        )
    found: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for person in sorted({region.person for region in regions}):
        points = _points(regions, person)
        for part, excess, reason in itertools.chain(_bones(points), _fingers(points)):
            found[part].append((excess, reason))
    worst = {part: max(rows) for part, rows in found.items()}
    confidence = {part: max(r.confidence for r in regions if r.part == part) for part in {r.part for r in regions}}
    excess, reason = max(worst.values(), default=(-1.0, ""))
    return Verdict(
        fails=excess > 0,
        probability=_logistic(excess),
        parts={
            part: {"visible": confidence[part], "wrong": _logistic(worst[part][0]) if part in worst else 0.0}
            for part in sorted(confidence)
        },
        not_visible=tuple(part for part in wanted if part not in confidence),
        attributes={},
        reason=reason if excess > 0 else "",
    )


def _logistic(excess: float) -> float:
    return float(1 / (1 + np.exp(-4 * excess)))


def _points(regions: Sequence[PartRegion], person: int) -> dict[str, FloatArray]:
    """Known keypoints of one person, (2,) pixels each."""
    points: dict[str, FloatArray] = {}
    for region in regions:
        if region.person == person:
            for name, row in zip(region.keypoint_names, region.keypoints, strict=True):
                if row[2] > 0:
                    points.setdefault(name, row[:2])
    return points


def _bones(points: Points) -> Iterable[tuple[str, float, str]]:
    """For each bone: its part, the logarithm of its length over its limit, and that in words."""
    sizes: dict[tuple[str, str, str], float] = {}
    for side in SIDES:
        for (first, second), (_, times) in BONES.items():
            ends = points.get(f"{side}_{first}"), points.get(f"{side}_{second}")
            if ends[0] is not None and ends[1] is not None:
                sizes[side, first, second] = times * float(np.linalg.norm(ends[0] - ends[1]))
    trunk = _trunk(points)
    for (side, first, second), size in sizes.items():
        others = [value for key, value in sizes.items() if key != (side, first, second)] + trunk
        if len(others) >= LEAST and min(size, max(others)) > 0:
            # the longest of the others is the one that perspective shortens least
            ratio = size / max(others)
            yield BONES[first, second][0], float(np.log(ratio / LONG)), f"{side} {first} to {second} {ratio:.2f} times"


def _trunk(points: Points) -> list[float]:
    """The trunk's own length, if its four corners are known."""
    corners = [points.get(f"{side}_{joint}") for joint in ("shoulder", "hip") for side in SIDES]
    known = [corner for corner in corners if corner is not None]
    if len(known) < 4:
        return []
    return [float(np.linalg.norm(known[0] + known[1] - known[2] - known[3])) / 2]


def _fingers(points: Points) -> Iterable[tuple[str, float, str]]:
    """The same for each finger: too long beside the palm, or bent to and fro."""
    for side in SIDES:
        root, knuckle = points.get(f"{side}_hand_root"), points.get(f"{side}_{FINGERS[2]}1")
        if root is None or knuckle is None:
            continue
        palm = float(np.linalg.norm(knuckle - root))
        for finger in FINGERS[1:]:
            chain = [points.get(f"{side}_{finger}{joint}") for joint in (1, 2, 3, 4)]
            known = [point for point in chain if point is not None]
            if len(known) < 4 or palm <= 0:
                continue
            steps = np.diff(np.stack(known), axis=0)
            length = float(np.linalg.norm(steps, axis=1).sum()) / palm
            yield "hand", float(np.log(max(length, 1e-6) / FINGER_LONG)), f"{side} {finger} {length:.2f} palms long"
            bend = _to_and_fro(steps)
            yield "hand", (bend - BEND) / BEND, f"{side} {finger} bends to and fro by {np.degrees(bend):.0f} degrees"


def _to_and_fro(steps: FloatArray) -> float:
    """How far two joints of a finger bend against each other: twice the smaller of two opposite turns, radians."""
    turns = [
        float(np.arctan2(a[0] * b[1] - a[1] * b[0], a[0] * b[0] + a[1] * b[1])) for a, b in itertools.pairwise(steps)
    ]
    return 2 * min(abs(turns[0]), abs(turns[1])) if turns[0] * turns[1] < 0 else 0.0
