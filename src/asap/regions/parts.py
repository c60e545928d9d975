"""Build ``PartRegion`` records in the same way for every instrument."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from asap.core.pairs import box_of
from asap.core.photos import PartRegion
from asap.core.records import BoolArray, ByteArray, FloatArray
from asap.core.vocabulary import REGION_PART, region_id
from asap.core.wholebody import KEYPOINTS
from asap.regions.geometry import touches_edge

__all__ = ["MIN_PART_PIXELS", "Found", "hand_names", "keep_large", "part_map", "person_keypoints", "region"]

MIN_PART_PIXELS: Final = 256
"""Smallest number of pixels of a part. On 16 x 16 pixels, errors of a hand are not visible."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """The parts that a landmarker found, and notes on those that it left out."""

    regions: tuple[PartRegion, ...]
    notes: tuple[str, ...] = ()


def hand_names(side: str) -> tuple[str, ...]:
    """The 21 keypoint names of a hand, root first."""
    start = KEYPOINTS.index(f"{side}_hand_root")
    return KEYPOINTS[start : start + 21]


def region(
    part: str,
    side: str,
    person: int,
    mask: BoolArray,
    points: FloatArray,
    names: Sequence[str],
    confidence: float,
    instrument: str,
) -> PartRegion:
    """A part with box and ``cut`` taken from its mask; ``points`` are (K, 3)."""
    known = points[points[:, 2] > 0, :2] if len(points) else points[:, :2]
    outside = bool(((known < 0) | (known > mask.shape[::-1])).any())
    return PartRegion(
        part=part,
        side=side,
        person=person,
        mask=mask,
        box=box_of(mask),
        keypoints=np.asarray(points, np.float32).reshape(-1, 3),
        keypoint_names=tuple(names),
        confidence=float(confidence),
        instrument=instrument,
        cut=outside or touches_edge(mask),
    )


def keep_large(regions: Sequence[PartRegion], minimum: int = MIN_PART_PIXELS) -> Found:
    """The parts with at least ``minimum`` pixels; notes name the others."""
    kept, notes = [], []
    for part in regions:
        pixels = int(part.mask.sum())
        if pixels >= minimum:
            kept.append(part)
        else:
            sided = part.part if part.side == "none" else f"{part.side} {part.part}"
            notes.append(f"person {part.person}: {sided} left out, {pixels} of {minimum} pixels")
    return Found(regions=tuple(kept), notes=tuple(notes))


def part_map(parts: Sequence[PartRegion], shape: tuple[int, ...]) -> ByteArray:
    """(H, W) index into ``vocabulary.REGIONS``; small parts lie over large ones."""
    names = {(part, name.partition(".")[2]): name for name, part in REGION_PART.items()}
    out = np.zeros(shape, dtype=np.uint8)
    for region in sorted(parts, key=lambda one: -int(one.mask.sum())):
        letter = {"left": "L", "right": "R"}.get(region.side, "")
        out[region.mask] = region_id(names[region.part, letter])
    return out


def person_keypoints(parts: Sequence[PartRegion]) -> FloatArray:
    """(133, 3) x, y and visibility (0 absent, 2 seen) of one person."""
    out = np.zeros((len(KEYPOINTS), 3), dtype=np.float32)
    places = {name: place for place, name in enumerate(KEYPOINTS)}
    for region in parts:
        for name, (x, y, confidence) in zip(region.keypoint_names, region.keypoints, strict=True):
            if confidence > 0:
                out[places[name]] = (x, y, 2.0)
    return out
