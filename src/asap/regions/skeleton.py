"""Parts with masks from the 133 keypoints of COCO-WholeBody, for instruments that return points only."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from asap.core.photos import PartRegion
from asap.core.records import BoolArray, ByteArray, FloatArray
from asap.core.wholebody import KEYPOINTS
from asap.regions.limbs import limbs, points_of
from asap.regions.outlines import face_mask, hand_mask, hand_outline
from asap.regions.parts import MIN_PART_PIXELS, Found, hand_names, keep_large, region

__all__ = ["extent", "people_parts"]

SIDES: Final = ("left", "right")
FACE: Final = tuple(name for name in KEYPOINTS if name.startswith("face-"))
BODY: Final = tuple(name for name in KEYPOINTS[:23])
INDEX: Final = {name: index for index, name in enumerate(KEYPOINTS)}
BROWS, NOSE_BASE = tuple(range(17, 27)), 33
FOREHEAD: Final = 0.8
"""Height of the forehead above the brows, in distances from brows to the base of the nose."""


def extent(points: FloatArray) -> float:
    """Side in pixels of the box around the known points of (K, 3) ``points``, by which people are ordered."""
    known = points[points[:, 2] > 0, :2]
    return float(np.sqrt(np.prod(np.ptp(known, axis=0)))) if len(known) else 0.0


def people_parts(
    people: Sequence[FloatArray],
    shape: tuple[int, int],
    instrument: str,
    *,
    image: ByteArray | None = None,
    min_pixels: int = MIN_PART_PIXELS,
) -> Found:
    """Parts of all people, the largest first; notes name parts that lack points.

    Args:
        people: (133, 3) points each, x and y in pixels and confidence; confidence 0 if a point is not known.
        shape: H and W of the image.
        instrument: name in the regions.
        image: (H, W, 3) the image to which the masks of hands are fitted; None keeps their outlines.
        min_pixels: parts with fewer pixels are left out.
    """
    ordered = sorted(people, key=lambda points: -extent(points))
    regions: list[PartRegion] = []
    notes: list[str] = []
    for number, points in enumerate(ordered):
        regions += _hands(points, shape, number, instrument, image, notes)
    covered = _union(regions, shape)
    for number, points in enumerate(ordered):
        regions += _face(points, shape, number, instrument, covered, notes)
    covered = _union(regions, shape)
    for number, points in enumerate(ordered):
        outlined = [part.side for part in regions if part.part == "hand" and part.person == number]
        regions += _limbs(points, shape, number, instrument, covered, outlined)
    found = keep_large(sorted(regions, key=lambda part: part.person), min_pixels)
    return Found(regions=found.regions, notes=(*notes, *found.notes))


def _union(regions: Sequence[PartRegion], shape: tuple[int, int]) -> BoolArray:
    union = np.zeros(shape, np.bool_)
    for part in regions:
        union |= part.mask
    return union


def _hands(
    points: FloatArray, shape: tuple[int, int], person: int, instrument: str, image: ByteArray | None, notes: list[str]
) -> list[PartRegion]:
    found = []
    for side in SIDES:
        names = hand_names(side)
        own = points[[INDEX[name] for name in names]]
        known = int((own[:, 2] > 0).sum())
        if 0 < known < len(own):
            notes.append(f"person {person}: {side} hand left out, {known} of {len(own)} points")
        if known == len(own):
            mask = hand_outline(shape, own[:, :2]) if image is None else hand_mask(image, own[:, :2])
            found.append(region("hand", side, person, mask, own, names, float(own[:, 2].mean()), instrument))
    return found


def _face(
    points: FloatArray, shape: tuple[int, int], person: int, instrument: str, covered: BoolArray, notes: list[str]
) -> list[PartRegion]:
    own = points[[INDEX[name] for name in FACE]]
    known = int((own[:, 2] > 0).sum())
    if known < len(own):
        if known:
            notes.append(f"person {person}: face left out, {known} of {len(own)} points")
        return []
    brows = own[list(BROWS), :2]
    above = brows + FOREHEAD * (brows.mean(axis=0) - own[NOSE_BASE, :2])
    mask = face_mask(shape, np.concatenate([own[:, :2], above])) & ~covered
    return [region("face", "none", person, mask, own, FACE, float(own[:, 2].mean()), instrument)]


def _limbs(
    points: FloatArray,
    shape: tuple[int, int],
    person: int,
    instrument: str,
    covered: BoolArray,
    outlined: Sequence[str],
) -> list[PartRegion]:
    at = {name: points[INDEX[name], :2] for name in BODY if points[INDEX[name], 2] > 0}
    found = []
    for (part, side), mask in limbs(at, shape, None, outlined).items():
        names = points_of(part, side)
        own = points[[INDEX[name] for name in names]]
        certainty = float(own[own[:, 2] > 0, 2].mean())
        found.append(region(part, side, person, mask & ~covered, own, names, certainty, instrument))
    return found
