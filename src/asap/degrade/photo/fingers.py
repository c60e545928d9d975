"""The fingers of a hand in a photograph: their curves, their widths, and whether they are free-standing."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from asap.core.records import BoolArray, Floats
from asap.core.wholebody import FINGERS
from asap.degrade.photo.curves import ENDS, PER_BONE, Curve, curve
from asap.degrade.photo.sampling import linear
from asap.degrade.photo.window import Window

_FOLD = np.deg2rad(75)
"""A joint that bends by more in the image hides the bone before it. The finger is visible from this joint on only."""
_THICK = 0.09
"""Half the width of a finger as a share of the square root of the area of the hand, measured on five photographs."""
_WIDEST = 1.7
"""The search for the edge of a finger ends at this factor times its usual width."""


@dataclass(frozen=True, kw_only=True)
class Tube:
    """The visible shape of a finger or limb: a curve of N samples, and its extent on both sides."""

    name: str
    joints: Floats
    """(K, 2) visible joints from the root to the tip."""
    curve: Curve
    below: Floats
    """(N,) pixels to the edge, against the normals."""
    above: Floats
    """(N,) pixels to the edge, along the normals."""
    open_below: BoolArray
    """(N,) whether the edge borders on background and not on another finger."""
    open_above: BoolArray
    """(N,) the same along the normals."""
    curled: bool = False
    """Whether a fold hides bones before the first joint."""
    ends_open: bool = True
    """Whether there is background beyond the tip."""

    @property
    def free_standing(self) -> bool:
        """Whether it is visible from its root to its tip, in front of something other than its own hand."""
        outer = slice(ENDS + PER_BONE, -ENDS)
        rim = max(float(self.open_below[outer].mean()), float(self.open_above[outer].mean()))
        return not self.curled and self.ends_open and rim > 0.15

    @property
    def even(self) -> bool:
        """Whether its width is nearly constant. A finger whose keypoints lie beside it is read as a thin spike."""
        halves = 0.5 * (self.below + self.above)[ENDS:-ENDS]
        return float(np.quantile(halves, 0.1)) > 0.55 * float(np.median(halves))

    @property
    def radius(self) -> float:
        """Half the usual width in pixels."""
        middle = slice(ENDS, -ENDS)
        return float(np.median(0.5 * (self.below + self.above)[middle]))

    @property
    def length(self) -> float:
        """Pixels from the first joint to the last."""
        return float(np.linalg.norm(np.diff(self.joints, axis=0), axis=1).sum())

    @property
    def free(self) -> bool:
        """Whether there is background on both sides for most of its length, from the second joint on."""
        outer = slice(ENDS + PER_BONE, -ENDS)
        return bool(min(self.open_below[outer].mean(), self.open_above[outer].mean()) > 0.5)

    def beyond(self, along: Floats) -> tuple[Floats, Floats]:
        """(M,) pixels before the first and after the last joint, 0 between them."""
        points, last = self.curve.points, len(self.curve.points) - 1 - ENDS
        before, after = (float(np.linalg.norm(points[a] - points[b])) / ENDS for a, b in ((0, ENDS), (-1, last)))
        return np.maximum((ENDS - along) * before, 0), np.maximum((along - last) * after, 0)

    def limit(self, along: Floats, beside: Floats) -> Floats:
        """(M,) pixels from the curve to the edge, on the side of each place."""
        return np.where(beside < 0, self.curve.at(along, self.below), self.curve.at(along, self.above))


def fingers(window: Window) -> list[Tube]:
    """The fingers whose four keypoints are known and which no other finger crosses, thumb first."""
    side = window.region.side
    runs: list[tuple[str, Floats, bool]] = []
    for name in FINGERS:
        known = [window.point(f"{side}_{name}{joint}") for joint in (1, 2, 3, 4)]
        points = [point for point in known if point is not None]
        if len(points) == len(known):
            joints, curled = seen(np.stack(points))
            runs.append((name, joints, curled))
    thick = _THICK * window.size
    curves = [curve(joints, 1.6 * thick, 2.4 * thick) for _, joints, _ in runs]
    tubes = []
    for n, (name, joints, curled) in enumerate(runs):
        others = [c.points[ENDS:-ENDS] for m, c in enumerate(curves) if m != n]
        tubes.append(tube(window, name, joints, curves[n], others, thick, curled=curled))
    return _without_crossing(tubes)


def seen(joints: Floats) -> tuple[Floats, bool]:
    """The joints after the last sharp fold in the image, and whether there is one."""
    bones = np.diff(joints, axis=0)
    for n in reversed(range(len(bones) - 2)):
        if abs(signed_angle(bones[n], bones[n + 1])) > _FOLD:
            return joints[n + 1 :], True
    return joints, False


def signed_angle(first: Floats, second: Floats) -> float:
    """Angle in radians from one bone to the next, in (-pi, pi]; positive is clockwise on the screen."""
    cross = first[0] * second[1] - first[1] * second[0]
    return float(np.arctan2(cross, (first * second).sum()))


def tube(
    window: Window,
    name: str,
    joints: Floats,
    line: Curve,
    others: list[Floats],
    thick: float,
    *,
    curled: bool = False,
) -> Tube:
    """The part along ``line``; ``others`` (each (n, 2)) own the pixels near them, ``thick`` is the usual radius."""
    below, open_below = _reach(window.share, line, -1, others, thick)
    above, open_above = _reach(window.share, line, 1, others, thick)
    return Tube(
        name=name,
        joints=joints,
        curve=line,
        below=below,
        above=above,
        open_below=open_below,
        open_above=open_above,
        curled=curled,
        ends_open=float(window.part_at(line.points[-1:])[0]) < 0.5,
    )


def _reach(share: Floats, line: Curve, sign: int, others: list[Floats], usual: float) -> tuple[Floats, BoolArray]:
    """(N,) pixels to the edge of the part or half way to another curve, and whether background is beyond the edge."""
    steps = np.arange(0.5, _WIDEST * usual, max(0.5, usual / 24), dtype=np.float32)
    places = line.points[:, None] + sign * line.normals[:, None] * steps[None, :, None]
    out = (linear(share, places.reshape(-1, 2)) < 0.5).reshape(len(line.points), -1)
    ends = out.copy()
    if others:
        gap = cKDTree(np.concatenate(others)).query(places.reshape(-1, 2))[0].reshape(out.shape)
        ends |= gap < steps[None]
    found: BoolArray = np.asarray(ends.any(axis=1))
    found[:ENDS] = found[-ENDS:] = False
    first = steps[ends.argmax(axis=1)]
    level = float(np.median(first[found])) if found.sum() > 8 else usual
    filled = np.clip(np.where(found, first, level), 0.45 * level, 1.8 * level)
    smooth = ndimage.gaussian_filter1d(ndimage.median_filter(filled, 9, mode="nearest"), 3, mode="nearest")
    background: BoolArray = found & out[np.arange(len(out)), ends.argmax(axis=1)]
    return smooth.astype(np.float32), np.asarray(background, dtype=bool)


def _without_crossing(tubes: list[Tube]) -> list[Tube]:
    """The fingers without those that cross others: of two crossing fingers, one is partly hidden."""
    kept = list(tubes)
    while len(kept) > 1:
        crossed = [sum(_cross(a, b) for b in kept if b is not a) for a in kept]
        if max(crossed) == 0:
            break
        kept.pop(int(np.argmax(crossed)))
    return kept


def _cross(first: Tube, second: Tube) -> bool:
    body = slice(ENDS + PER_BONE // 2, -ENDS)
    gap = cKDTree(first.curve.points[body]).query(second.curve.points[body])[0]
    return bool(gap.min() < 0.35 * min(first.radius, second.radius))
