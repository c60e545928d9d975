"""Which operation makes sense on which part of a photograph, by which method, how often, and which functions do it.

A weight is the share of generated images with that fault, where it was counted: 300 images with expert annotations, as
in ``degrade/operation_table.py``. One count for several entries is divided among them. Where nothing was counted, the
weight is our choice, and it is lower where fewer results looked like the output of a model (counts:
``docs/experiments/photographs.md``). Some operations are absent because no result looked right: a shortened or removed
limb needs a background that the photograph does not show.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from asap.core.photos import PartRegion
from asap.degrade.photo import faces, finger_rows, finger_warps, limbs, whole_hand
from asap.degrade.photo.limb_warp import Painting
from asap.degrade.photo.window import Window

Operation = Callable[[Window, int, np.random.Generator, Sequence[PartRegion]], Painting]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One way to break one part."""

    weight: float
    source: str
    """Where the weight comes from."""
    ways: tuple[tuple[Operation, float], ...]
    """Functions and how often each is tried first; the others follow where it does not fit."""
    follows: bool = False
    """Whether the hand or foot at a limb's end goes with it."""


_TABLE: Final = (
    # method, part, operation, weight, where the weight comes from, functions
    (
        "warp",
        "hand",
        "misshapen",
        0.71,
        "counted",
        ((whole_hand.melted, 0.4), (finger_warps.boneless, 0.4), (finger_warps.bulging, 0.2)),
    ),
    (
        "remove",
        "hand",
        "missing",
        0.40,
        "counted: missing hand or finger",
        ((finger_rows.missing, 0.6), (finger_warps.cut_short, 0.4)),
    ),
    (
        "graft",
        "hand",
        "extra",
        0.14,
        "counted: extra finger or hand 0.19, three quarters fingers",
        ((finger_rows.extra, 0.6), (whole_hand.extra, 0.4)),
    ),
    (
        "graft",
        "hand",
        "duplicated",
        0.05,
        "counted: extra finger or hand 0.19, one quarter hands",
        ((whole_hand.duplicated, 1.0),),
    ),
    ("warp", "hand", "fused", 0.20, "our choice", ((finger_rows.fused, 1.0),)),
    ("warp", "hand", "elongated", 0.12, "our choice", ((finger_warps.elongated, 1.0),)),
    ("warp", "hand", "shortened", 0.10, "our choice", ((finger_warps.shortened, 1.0),)),
    ("warp", "hand", "thickened", 0.08, "our choice", ((finger_warps.thickened, 1.0),)),
    ("warp", "hand", "reversed_joint", 0.10, "our choice", ((finger_warps.reversed_joint, 1.0),)),
    ("warp", "hand", "twisted", 0.08, "our choice", ((finger_warps.twisted, 1.0),)),
    ("graft", "hand", "swapped_side", 0.04, "our choice", ((whole_hand.swapped_side, 1.0),)),
    ("warp", "arm", "misshapen", 0.205, "counted: misshapen limb 0.41, half", ((limbs.misshapen, 1.0),)),
    ("warp", "arm", "thickened", 0.16, "counted: limb of wrong proportion 0.48, a third", ((limbs.thickened, 1.0),)),
    ("warp", "arm", "elongated", 0.08, "counted: limb of wrong proportion 0.48, a sixth", ((limbs.elongated, 1.0),)),
    (
        "warp",
        "arm",
        "reversed_joint",
        0.08,
        "counted: wrongly oriented limb 0.29, a quarter",
        ((limbs.reversed_joint, 1.0),),
    ),
    ("graft", "arm", "duplicated", 0.05, "our choice", ((limbs.duplicated, 1.0),)),
    ("warp", "leg", "misshapen", 0.205, "counted: misshapen limb 0.41, half", ((limbs.misshapen, 1.0),)),
    ("warp", "leg", "thickened", 0.16, "counted: limb of wrong proportion 0.48, a third", ((limbs.thickened, 1.0),)),
    ("warp", "leg", "reversed_joint", 0.05, "our choice", ((limbs.reversed_joint, 1.0),)),
    ("graft", "leg", "duplicated", 0.03, "our choice", ((limbs.duplicated, 1.0),)),
    ("warp", "foot", "misshapen", 0.20, "our choice", ((limbs.misshapen, 1.0),)),
    ("warp", "foot", "elongated", 0.06, "our choice", ((limbs.elongated, 1.0),)),
    ("warp", "foot", "thickened", 0.05, "our choice", ((limbs.thickened, 1.0),)),
    ("warp", "face", "misshapen", 0.49, "counted", ((faces.misshapen, 1.0),)),
    ("remove", "face", "missing", 0.08, "our choice", ((faces.missing, 1.0),)),
    ("graft", "face", "duplicated", 0.06, "our choice", ((faces.duplicated, 1.0),)),
    ("graft", "face", "extra", 0.05, "our choice", ((faces.extra, 1.0),)),
    ("warp", "face", "elongated", 0.06, "our choice", ((faces.elongated, 1.0),)),
    ("warp", "face", "shortened", 0.06, "our choice", ((faces.shortened, 1.0),)),
    ("warp", "face", "thickened", 0.05, "our choice", ((faces.thickened, 1.0),)),
    ("warp", "face", "twisted", 0.06, "our choice", ((faces.twisted, 1.0),)),
    ("warp", "torso", "misshapen", 0.06, "our choice", ((limbs.misshapen, 1.0),)),
    ("warp", "torso", "thickened", 0.08, "our choice", ((limbs.thickened, 1.0),)),
)
_FOLLOWED: Final = {("arm", "elongated"), ("arm", "duplicated"), ("leg", "duplicated")}

METHODS: Final = ("warp", "remove", "graft")
TABLE: Final[Mapping[tuple[str, str, str], Cell]] = MappingProxyType(
    {
        (method, part, operation): Cell(weight=weight, source=source, ways=ways, follows=(part, operation) in _FOLLOWED)
        for method, part, operation, weight, source, ways in _TABLE
    }
)
CELLS: Final[Mapping[tuple[str, str, str], float]] = MappingProxyType({key: cell.weight for key, cell in TABLE.items()})
"""Sampling weight of every (method, part, operation) that makes sense; not normalized."""
