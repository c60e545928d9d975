"""Build ``PartRegion`` records in the same way for every instrument."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from asap.core.photos import PartRegion
from asap.core.records import BoolArray, FloatArray
from asap.core.wholebody import KEYPOINTS
from asap.regions.geometry import box_of, touches_edge

__all__ = ["MIN_PART_PIXELS", "Found", "hand_names", "keep_large", "region"]

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
