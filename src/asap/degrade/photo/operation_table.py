"""The table of photograph operations: which functions break which part by which method, and how often.

To add an operation, write one function and register it with one line in ``OPERATION_TABLE``.

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
from asap.degrade.photo.limb_warp import Composition
from asap.degrade.photo.window import Window

PhotoOperation = Callable[[Window, int, np.random.Generator, Sequence[PartRegion]], Composition]
"""``(window, severity, rng, regions) -> Composition``; raises ``InputError`` if the window does not allow it."""


@dataclass(frozen=True)
class Entry:
    """One way to break one part of a photograph."""

    weight: float
    """Sampling weight; weights are not normalized."""
    source: str
    """Where the weight comes from."""
    functions: tuple[PhotoOperation, ...]
    """Alternatives. One is tried first; the others follow if it does not fit."""
    odds: tuple[float, ...]
    """Probability that each of ``functions`` is tried first."""
    follows: bool
    """Whether the hand or foot at the end of the limb moves with it."""


def _entry(
    weight: float, source: str, *functions: PhotoOperation, odds: tuple[float, ...] = (1.0,), follows: bool = False
) -> Entry:
    return Entry(weight, source, functions, odds, follows)


METHODS: Final = ("warp", "remove", "graft")
OPERATION_TABLE: Final[Mapping[tuple[str, str, str], Entry]] = MappingProxyType(
    {
        ("warp", "hand", "misshapen"): _entry(
            0.71, "counted", whole_hand.melted, finger_warps.boneless, finger_warps.bulging, odds=(0.4, 0.4, 0.2)
        ),
        ("remove", "hand", "missing"): _entry(
            0.4, "counted: missing hand or finger", finger_rows.missing, finger_warps.cut_short, odds=(0.6, 0.4)
        ),
        ("graft", "hand", "extra"): _entry(
            0.14,
            "counted: extra finger or hand 0.19, three quarters fingers",
            finger_rows.extra,
            whole_hand.extra,
            odds=(0.6, 0.4),
        ),
        ("graft", "hand", "duplicated"): _entry(
            0.05, "counted: extra finger or hand 0.19, one quarter hands", whole_hand.duplicated
        ),
        ("warp", "hand", "fused"): _entry(0.2, "our choice", finger_rows.fused),
        ("warp", "hand", "elongated"): _entry(0.12, "our choice", finger_warps.elongated),
        ("warp", "hand", "shortened"): _entry(0.1, "our choice", finger_warps.shortened),
        ("warp", "hand", "thickened"): _entry(0.08, "our choice", finger_warps.thickened),
        ("warp", "hand", "reversed_joint"): _entry(0.1, "our choice", finger_warps.reversed_joint),
        ("warp", "hand", "twisted"): _entry(0.08, "our choice", finger_warps.twisted),
        ("graft", "hand", "swapped_side"): _entry(0.04, "our choice", whole_hand.swapped_side),
        ("warp", "arm", "misshapen"): _entry(0.205, "counted: misshapen limb 0.41, half", limbs.misshapen),
        ("warp", "arm", "thickened"): _entry(0.16, "counted: limb of wrong proportion 0.48, a third", limbs.thickened),
        ("warp", "arm", "elongated"): _entry(
            0.08, "counted: limb of wrong proportion 0.48, a sixth", limbs.elongated, follows=True
        ),
        ("warp", "arm", "reversed_joint"): _entry(
            0.08, "counted: wrongly oriented limb 0.29, a quarter", limbs.reversed_joint
        ),
        ("graft", "arm", "duplicated"): _entry(0.05, "our choice", limbs.duplicated, follows=True),
        ("warp", "leg", "misshapen"): _entry(0.205, "counted: misshapen limb 0.41, half", limbs.misshapen),
        ("warp", "leg", "thickened"): _entry(0.16, "counted: limb of wrong proportion 0.48, a third", limbs.thickened),
        ("warp", "leg", "reversed_joint"): _entry(0.05, "our choice", limbs.reversed_joint),
        ("graft", "leg", "duplicated"): _entry(0.03, "our choice", limbs.duplicated, follows=True),
        ("warp", "foot", "misshapen"): _entry(0.2, "our choice", limbs.misshapen),
        ("warp", "foot", "elongated"): _entry(0.06, "our choice", limbs.elongated),
        ("warp", "foot", "thickened"): _entry(0.05, "our choice", limbs.thickened),
        ("warp", "face", "misshapen"): _entry(0.49, "counted", faces.misshapen),
        ("remove", "face", "missing"): _entry(0.08, "our choice", faces.missing),
        ("graft", "face", "duplicated"): _entry(0.06, "our choice", faces.duplicated),
        ("graft", "face", "extra"): _entry(0.05, "our choice", faces.extra),
        ("warp", "face", "elongated"): _entry(0.06, "our choice", faces.elongated),
        ("warp", "face", "shortened"): _entry(0.06, "our choice", faces.shortened),
        ("warp", "face", "thickened"): _entry(0.05, "our choice", faces.thickened),
        ("warp", "face", "twisted"): _entry(0.06, "our choice", faces.twisted),
        ("warp", "torso", "misshapen"): _entry(0.06, "our choice", limbs.misshapen),
        ("warp", "torso", "thickened"): _entry(0.08, "our choice", limbs.thickened),
    }
)
"""Every (method, part, operation) that makes sense."""
