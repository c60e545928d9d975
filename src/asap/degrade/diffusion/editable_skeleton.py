"""An editable whole-body skeleton and the moves from which operations are built. Angles are in radians.

In an image, x points right and y points down, so a positive angle is a clockwise rotation.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from asap.core.photos import PartRegion
from asap.core.records import BoolArray, FloatArray
from asap.core.wholebody import FINGERS, KEYPOINTS
from asap.degrade.diffusion.openpose import DRAWN

__all__ = ["EditableSkeleton", "finger_names", "hand_names", "people_of", "row", "turn"]

_INDEX: Final = {name: i for i, name in enumerate(KEYPOINTS)}


def row(name: str) -> int:
    """Row of a keypoint in (133, 3) points."""
    return _INDEX[name]


def finger_names(side: str, finger: int) -> tuple[str, ...]:
    """The four points of a finger (0 is the thumb), from the palm to the tip."""
    return tuple(f"{side}_{FINGERS[finger]}{joint}" for joint in (1, 2, 3, 4))


def hand_names(side: str) -> tuple[str, ...]:
    """The 21 points of a hand, and the wrist of the body, which moves with them."""
    return (f"{side}_wrist", f"{side}_hand_root", *(name for f in range(5) for name in finger_names(side, f)))


def people_of(regions: Sequence[PartRegion]) -> tuple[tuple[int, ...], tuple[FloatArray, ...]]:
    """Sorted person indices in ``regions``, and for each (133, 3) points of the highest confidence."""
    people: dict[int, FloatArray] = {}
    for region in regions:
        points = people.setdefault(region.person, np.zeros((len(KEYPOINTS), 3), dtype=np.float32))
        for name, row in zip(region.keypoint_names, region.keypoints, strict=True):
            if row[2] > points[_INDEX[name], 2]:
                points[_INDEX[name]] = row
    order = tuple(sorted(people))
    return order, tuple(people[number] for number in order)


def turn(points: FloatArray, centre: FloatArray, angle: float) -> FloatArray:
    """``points`` (..., 2) rotated by ``angle`` about ``centre`` (2,)."""
    cos, sin = np.cos(angle), np.sin(angle)
    away = points - centre
    return np.stack([away[..., 0] * cos - away[..., 1] * sin, away[..., 0] * sin + away[..., 1] * cos], -1) + centre


class EditableSkeleton:
    """Points of one person that can be edited, and extra pieces."""

    def __init__(self, points: FloatArray) -> None:
        """Start from (133, 3) ``points``, which are copied."""
        self.before = points
        self.points = points.astype(np.float32).copy()
        self.extras: list[FloatArray] = []

    def known(self, *names: str) -> bool:
        """Whether all these points have enough confidence to be drawn."""
        return all(self.points[_INDEX[name], 2] >= DRAWN for name in names)

    def at(self, name: str) -> FloatArray:
        """(2,) pixels of a point."""
        return self.points[_INDEX[name], :2].copy()

    def put(self, name: str, place: FloatArray) -> None:
        """Move one point."""
        self.points[_INDEX[name], :2] = place

    def remove(self, names: Iterable[str]) -> None:
        """Remove points."""
        for name in names:
            self.points[_INDEX[name], 2] = 0.0

    def rotate(self, names: Iterable[str], centre: FloatArray, angle: float) -> None:
        """Rotate points by ``angle`` about ``centre``."""
        for name in names:
            self.put(name, turn(self.at(name), centre, angle))

    def translate(self, names: Iterable[str], step: FloatArray) -> None:
        """Translate points by ``step`` (2,)."""
        for name in names:
            self.put(name, self.at(name) + step)

    def bend(self, first: str, joint: str, last: str) -> float:
        """Angle of the turn at ``joint`` on the way from ``first`` to ``last``, in (-pi, pi]; 0 if straight."""
        ahead, on = self.at(joint) - self.at(first), self.at(last) - self.at(joint)
        cross = ahead[0] * on[1] - ahead[1] * on[0]
        return float(np.arctan2(cross, ahead @ on))

    def copy(self, names: Iterable[str]) -> FloatArray:
        """(133, 3) array with only these points, for ``extras``."""
        out = np.zeros_like(self.points)
        rows = [_INDEX[name] for name in names]
        out[rows] = self.points[rows]
        return out

    def changed(self) -> BoolArray:
        """(133,) True where a point moved, was removed or was added."""
        seen = (self.before[:, 2] >= DRAWN) | (self.points[:, 2] >= DRAWN)
        moved = np.any(self.before[:, :2] != self.points[:, :2], axis=1)
        gone = (self.before[:, 2] >= DRAWN) != (self.points[:, 2] >= DRAWN)
        return np.asarray(seen & (moved | gone))
