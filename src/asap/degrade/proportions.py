"""Operations ``elongated``, ``shortened`` and ``thickened``: the most common faults of limbs.

They occur in 0.48 of the annotated images. Each function edits ``body`` in place and returns what it sampled.
"""

from collections.abc import Sequence

import numpy as np

from asap.core.records import FloatArray
from asap.degrade.anatomy import (
    FINGERS,
    chain,
    finger,
    foot_frame,
    hand_frame,
    head_frame,
    letter,
    part_weight,
    trunk_frame,
)
from asap.degrade.editable_body import EditableBody, ramp

Detail = dict[str, float | int | str]


def _fingers(body: EditableBody, side: str, factor: float, gain: float, rng: np.random.Generator) -> Detail:
    """Stretch or shorten one, two or all fingers; ``gain`` changes their girth."""
    chosen: Sequence[int] = FINGERS
    scope = str(rng.choice(["one", "two", "all"], p=[0.3, 0.3, 0.4]))
    order = rng.permutation(4) + 2  # the thumb alone is too short to show a change
    if scope != "all":
        chosen = [int(order[0])] if scope == "one" else [int(order[0]), int(order[1])]
    # one finger must change more than five fingers for the same impression
    strength = 1.0 if scope == "all" else 1.35
    length = factor**strength
    for number in chosen:
        bones = finger(number, side)
        if gain != 1:
            body.inflate(bones, None, gain**strength)
        if length != 1:
            body.stretch(bones, None, length)
    return {"fingers": "".join(str(n) for n in chosen), "factor": length, "girth": gain**strength}


def _limb(body: EditableBody, part: str, side: str, factor: float, rng: np.random.Generator) -> Detail:
    bones, end = chain(part, side)
    scope = str(rng.choice(["upper", "lower", "both"]))
    if scope == "both":
        body.stretch(bones, end, factor)
    elif scope == "upper":
        body.stretch(bones[:2], bones[2], factor**1.3)
    else:
        body.stretch(bones[2:], end, factor**1.3)
    return {"scope": scope, "factor": factor}


def _foot(body: EditableBody, side: str, factors: Sequence[float]) -> None:
    ankle = body.head(f"foot.{letter(side)}")
    body.scale(body.weight(f"foot.{letter(side)}"), ankle, foot_frame(body, side), factors)


def _head(body: EditableBody, factors: Sequence[float]) -> None:
    body.scale(body.weight("head"), body.head("head"), head_frame(body), factors)


def _length(body: EditableBody, part: str, side: str, factor: float, rng: np.random.Generator) -> Detail:
    if part == "hand":
        return _fingers(body, side, factor, 1.0, rng)
    if part in ("arm", "leg"):
        return _limb(body, part, side, factor, rng)
    if part == "foot":
        _foot(body, side, (factor, 1.0, 1.0))
    elif part == "face":
        _head(body, (1.0, factor, 1.0))
    else:
        bones, end = chain(part, side)
        body.stretch(bones, end, factor)
    return {"factor": factor}


LONGER = {
    "hand": (1.55, 1.85, 2.2),
    "arm": (1.5, 1.75, 2.1),
    "leg": (1.4, 1.6, 1.85),
    "foot": (1.5, 1.85, 2.3),
    "face": (1.4, 1.58, 1.8),
    "neck": (1.8, 2.3, 3.0),
    "torso": (1.4, 1.55, 1.75),
}
SHORTER = {
    "hand": (0.5, 0.38, 0.26),
    "arm": (0.55, 0.42, 0.3),
    "leg": (0.6, 0.48, 0.36),
    "foot": (0.6, 0.46, 0.34),
    "face": (0.7, 0.6, 0.5),
    "neck": (0.4, 0.2, 0.0),
    "torso": (0.62, 0.52, 0.42),
}
THICKER = {
    "hand": (1.6, 1.85, 2.2),
    "arm": (1.8, 2.15, 2.6),
    "leg": (1.7, 2.0, 2.35),
    "foot": (1.5, 1.8, 2.2),
    "face": (1.38, 1.52, 1.7),
    "neck": (1.6, 1.9, 2.3),
    "torso": (1.5, 1.7, 1.95),
}
"""Factors by severity. Our choice under one rule: severity 1 leaves the range of correct bodies, else it is no error.

The sampled adults differ (1st to 99th percentile of 150) by a factor of 1.1 in the lengths of arm, leg, trunk and head
relative to height, 1.15 in foot and finger, 1.2 in waist and neck girth, and 1.4 in neck length and in the girth of arm
and leg. Severity 1 is at least that factor to the power of 1.5, so that every edited person ends up outside the range.
Lengths go further, because a foreshortened limb looks shorter too.
"""


def elongated(body: EditableBody, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Make fingers, a limb or half of it, the foot, the head, the neck or the trunk too long."""
    return _length(body, part, side, LONGER[part][severity - 1], rng)


def shortened(body: EditableBody, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Make the same parts as ``elongated`` too short."""
    return _length(body, part, side, SHORTER[part][severity - 1], rng)


def thickened(body: EditableBody, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Make fingers, the whole hand, the head, a limb, the neck or the trunk too thick."""
    gain = THICKER[part][severity - 1]
    if part == "hand":
        return _thick_hand(body, side, gain, rng)
    if part == "foot":
        _foot(body, side, (1.0 + 0.3 * (gain - 1), gain, gain))
    elif part == "face":
        _head(body, (gain, gain, gain))
    elif part == "torso":
        _belly(body, gain)
    else:
        bones, end = chain(part, side)
        body.inflate(bones, end, gain)
    return {"gain": gain}


def _thick_hand(body: EditableBody, side: str, gain: float, rng: np.random.Generator) -> Detail:
    if rng.random() < 0.5:
        return _fingers(body, side, 1.0, gain, rng)
    wrist = body.head(f"wrist.{letter(side)}")
    gain = gain**0.8  # a whole hand covers the image sooner than its fingers
    body.scale(body.weight(f"wrist.{letter(side)}"), wrist, hand_frame(body, side), (gain, gain, gain))
    return {"gain": gain, "scope": "whole"}


def _belly(body: EditableBody, gain: float) -> None:
    """Swell the trunk about its axis, most at the waist. Arms and neck stay where they are."""
    frame = trunk_frame(body)
    low, high = 0.5 * (body.head("upperleg01.L") + body.head("upperleg01.R")), body.head("neck01")
    height = float((high - low) @ frame[1])
    along: FloatArray = ((body.mesh.vertices - low) @ frame[1]) / np.float32(height)
    share = part_weight(body, "torso", "none") * ramp(along, -0.15, 0.3) * (1 - ramp(along, 0.5, 0.95))
    body.scale(share, low, frame, (gain, 1.0, gain))
