"""Masks of arms, legs, feet, torso and neck: every pixel of a person belongs to its nearest bone.

Distances are in radii of the body around the bone. The radii are shares of the length of the torso, from common tables
of human proportions (Drillis and Contini 1966 give the lengths) with room for clothes.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from asap.core.records import BoolArray, FloatArray
from asap.regions.geometry import hull, polygon, resized

__all__ = ["limbs", "points_of"]

SIDES: Final = ("left", "right")
WORK: Final = 288
"""Longer side, in pixels, of the window in which distances are computed; masks are scaled back."""
UNITS: Final = (
    ("shoulder", "elbow", 1.75),
    ("elbow", "wrist", 2.0),
    ("hip", "knee", 1.2),
    ("knee", "ankle", 1.2),
)
"""Length of the torso over that of each bone."""
ARM: Final = (("shoulder", 0.125), ("elbow", 0.095), ("wrist", 0.07))
LEG: Final = (("hip", 0.18), ("knee", 0.125), ("ankle", 0.085))
FOOT: Final = (("heel", 0.075), ("ankle", 0.06), ("big_toe", 0.075), ("heel", 0.075))
TORSO: Final = ("left_shoulder", "right_shoulder", "right_hip", "left_hip")
TORSO_EDGE: Final = 0.13
NECK: Final = 0.125
HEAD: Final = 0.25
HAND: Final = (0.36, 0.09)
"""Length and radius of the hand beyond the wrist, which belongs neither to the arm nor to this module."""
HEAD_POINTS: Final = ("nose", "left_ear", "right_ear", "left_eye", "right_eye")
PAIRED: Final = {
    "arm": ("shoulder", "elbow", "wrist"),
    "leg": ("hip", "knee", "ankle"),
    "foot": ("ankle", "heel", "big_toe", "small_toe"),
}
SINGLE: Final = {"torso": TORSO, "neck": ("left_shoulder", "right_shoulder")}
REACH: Final = {"arm": 2.0, "leg": 2.0, "foot": 3.0, "torso": 2.5, "neck": 1.2}
"""Radii beyond which a pixel of a person belongs to no part, if the outline of the person is known."""
ALONE: Final = 1.1
"""The same if the outline is not known."""
RIVALS: Final = ("head", "hand")
"""Parts that compete for pixels and are outlined by other modules."""

Part = tuple[str, str]
"""Part and side."""


@dataclass(frozen=True)
class _Frame:
    """The window in which distances are computed."""

    low: FloatArray
    scale: float
    shape: tuple[int, int]

    def inside(self, point: FloatArray) -> FloatArray:
        return np.asarray((point - self.low) * self.scale, np.float32)


def points_of(part: str, side: str) -> tuple[str, ...]:
    """Names of the keypoints of a part of this module."""
    return SINGLE[part] if side == "none" else tuple(f"{side}_{joint}" for joint in PAIRED[part])


def limbs(
    points: Mapping[str, FloatArray],
    shape: tuple[int, int],
    person: BoolArray | None,
    outlined: Sequence[str] = (),
) -> dict[Part, BoolArray]:
    """Masks (H, W) by part and side of all parts for which ``points`` (name to (2,) pixels) suffice; no two overlap.

    Args:
        points: known keypoints by name.
        shape: H and W.
        person: (H, W) pixels of the person, if known.
        outlined: sides whose hand has a separate mask, which the caller subtracts from these.
    """
    unit = _unit(points)
    if unit <= 0:
        return {}
    frame = _frame(points, unit, shape)
    fields = _fields(points, unit * frame.scale, frame)
    for side in outlined:
        fields.pop(("hand", side), None)
    names = list(fields)
    stack = np.stack([fields[name] for name in names])
    owner, gap = stack.argmin(axis=0), stack.min(axis=0)
    known = _seen(person, frame) if person is not None else None
    masks = {}
    for index, name in enumerate(names):
        if name[0] in RIVALS:
            continue
        limit = ALONE if known is None else REACH[name[0]]
        mask = (owner == index) & (gap <= limit)
        whole = _placed(mask if known is None else mask & known, frame, shape)
        masks[name] = whole if person is None else whole & person
    return masks


def _unit(points: Mapping[str, FloatArray]) -> float:
    """Length of the torso in pixels; 0 if no bone is known.

    Bones are foreshortened and a single point may be wrong, so this is the second of the three longest estimates.
    """
    lengths = [0.0]
    for side in SIDES:
        for a, b, times in UNITS:
            if (start := points.get(f"{side}_{a}")) is not None and (end := points.get(f"{side}_{b}")) is not None:
                lengths.append(times * float(np.linalg.norm(start - end)))
    trunk = [points.get(name) for name in TORSO]
    left, right, right_hip, left_hip = trunk
    if left is not None and right is not None:
        lengths.append(1.35 * float(np.linalg.norm(left - right)))
        if left_hip is not None and right_hip is not None:
            lengths.append(float(np.linalg.norm(left + right - left_hip - right_hip)) / 2)
    return float(np.median(sorted(lengths)[-3:])) if len(lengths) > 3 else max(lengths)


def _frame(points: Mapping[str, FloatArray], unit: float, shape: tuple[int, int]) -> _Frame:
    places = np.stack(list(points.values()))
    low = np.maximum(np.floor(places.min(axis=0) - unit / 2), 0)
    high = np.minimum(np.ceil(places.max(axis=0) + unit / 2), shape[::-1])
    low = np.minimum(low, np.array(shape[::-1]) - 1)
    span = np.maximum(high - low, 1)
    scale = min(1.0, WORK / float(span.max()))
    width, height = np.maximum(1, np.round(span * scale)).astype(int).tolist()
    return _Frame(low.astype(np.float32), scale, (height, width))


def _fields(points: Mapping[str, FloatArray], unit: float, frame: _Frame) -> dict[Part, FloatArray]:
    """For each part with sufficient points, the (h, w) distance of every pixel in radii."""
    at = {name: frame.inside(point) for name, point in points.items()}
    fields: dict[Part, FloatArray] = {}
    for side in SIDES:
        for part, joints, least in (("arm", ARM, 2), ("leg", LEG, 2), ("foot", FOOT, 4)):
            known = [(at[f"{side}_{joint}"], share * unit) for joint, share in joints if f"{side}_{joint}" in at]
            if len(known) >= least and f"{side}_{joints[1][0]}" in at:
                fields[part, side] = _along(known, frame.shape)
        if (elbow := at.get(f"{side}_elbow")) is not None and (wrist := at.get(f"{side}_wrist")) is not None:
            ahead = (wrist - elbow) / max(float(np.linalg.norm(wrist - elbow)), 1e-6)
            ends = [(wrist + ahead * share * unit, HAND[1] * unit) for share in (HAND[1], HAND[0])]
            fields["hand", side] = _along(ends, frame.shape)
    if all(name in at for name in TORSO):
        fields["torso", "none"] = _torso(np.stack([at[name] for name in TORSO]), TORSO_EDGE * unit, frame.shape)
    return fields | _head_and_neck(at, unit, frame.shape)


def _head_and_neck(at: Mapping[str, FloatArray], unit: float, shape: tuple[int, int]) -> dict[Part, FloatArray]:
    """The head as a disc around its points, the neck from its lower rim to the line of the shoulders."""
    head = [at[name] for name in HEAD_POINTS if name in at]
    if not head:
        return {}
    centre = np.mean(head, axis=0)
    fields = {("head", "none"): _along([(centre, HEAD * unit)] * 2, shape)}
    if "left_shoulder" in at and "right_shoulder" in at:
        base = (at["left_shoulder"] + at["right_shoulder"]) / 2
        ends = [(base + share * (centre - base), NECK * unit) for share in (0.6, 0.45)]
        fields["neck", "none"] = _along(ends, shape)
    return fields


def _along(joints: Sequence[tuple[FloatArray, float]], shape: tuple[int, int]) -> FloatArray:
    """(h, w) distance to the nearest of the bones between ``joints`` (place, radius), over the radius there."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32) + np.float32(0.5)
    nearest = np.full(shape, np.inf, np.float32)
    for (a, wide), (b, wide_end) in itertools.pairwise(joints):
        bone = b - a
        share = np.clip(((x - a[0]) * bone[0] + (y - a[1]) * bone[1]) / max(float(bone @ bone), 1e-6), 0, 1)
        gap = np.hypot(x - a[0] - share * bone[0], y - a[1] - share * bone[1])
        nearest = np.minimum(nearest, gap / (wide + share * (wide_end - wide)))
    return nearest.astype(np.float32)


def _torso(corners: FloatArray, edge: float, shape: tuple[int, int]) -> FloatArray:
    """(h, w) just under 1 inside, so that limbs in front of the torso win within their radius; increasing outside."""
    outside = ndimage.distance_transform_edt(~polygon(shape, hull(corners)))
    return np.asarray(0.95 + outside / edge, np.float32)


def _seen(person: BoolArray, frame: _Frame) -> BoolArray:
    (height, width), (x, y) = frame.shape, frame.low.astype(int).tolist()
    window = person[y : y + round(height / frame.scale), x : x + round(width / frame.scale)]
    return resized(window, (width, height))


def _placed(mask: BoolArray, frame: _Frame, shape: tuple[int, int]) -> BoolArray:
    """The mask of the window at its place in the image."""
    whole = np.zeros(shape, np.bool_)
    (height, width), (x, y) = frame.shape, frame.low.astype(int).tolist()
    size = min(round(width / frame.scale), shape[1] - x), min(round(height / frame.scale), shape[0] - y)
    whole[y : y + size[1], x : x + size[0]] = resized(mask, size)
    return whole
