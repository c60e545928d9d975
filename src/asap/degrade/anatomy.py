"""Landmarks of a posed body: limb chains, digits, and the frames of hand, foot, head and trunk.

A frame is a (3, 3) array of unit rows, right-handed in the person's own left-up-front axes. All frames come from joints
only.
"""

import numpy as np

from asap.core.records import FloatArray
from asap.degrade.editable_body import EditableBody, unit

LETTER = {"left": "L", "right": "R"}
FINGERS = (1, 2, 3, 4, 5)
"""The thumb is finger 1."""


def letter(side: str) -> str:
    """The suffix of bone labels: ``L`` or ``R``."""
    return LETTER[side]


def finger(number: int, side: str) -> tuple[str, ...]:
    """Bones of finger ``number`` from knuckle to tip."""
    return tuple(f"finger{number}-{joint}.{letter(side)}" for joint in (1, 2, 3))


def toe(number: int, side: str) -> tuple[str, ...]:
    """Bones of toe ``number`` from its root to the tip. The big toe (1) has two."""
    return tuple(f"toe{number}-{joint}.{letter(side)}" for joint in ((1, 2) if number == 1 else (1, 2, 3)))


def chain(part: str, side: str) -> tuple[tuple[str, ...], str]:
    """Bones of an arm, leg, neck or torso from the trunk outwards, and the bone at which the chain ends."""
    if part == "arm":
        s = letter(side)
        return (f"upperarm01.{s}", f"upperarm02.{s}", f"lowerarm01.{s}", f"lowerarm02.{s}"), f"wrist.{s}"
    if part == "leg":
        s = letter(side)
        return (f"upperleg01.{s}", f"upperleg02.{s}", f"lowerleg01.{s}", f"lowerleg02.{s}"), f"foot.{s}"
    if part == "neck":
        return ("neck01", "neck02", "neck03"), "head"
    return ("spine05", "spine04", "spine03", "spine02", "spine01"), "neck01"


def root_of(part: str, side: str) -> str:
    """The first bone of ``part``."""
    if part in ("arm", "leg", "neck", "torso"):
        return chain(part, side)[0][0]
    return {"hand": f"wrist.{LETTER.get(side, '')}", "foot": f"foot.{LETTER.get(side, '')}", "face": "head"}[part]


def part_weight(body: EditableBody, part: str, side: str) -> FloatArray:
    """(V,) how much each vertex belongs to ``part`` alone: an arm without its hand, a trunk without limbs and head."""
    whole = body.weight("root") if part == "torso" and body.has("root") else body.weight(root_of(part, side))
    if part in ("arm", "leg", "neck"):
        whole = whole - body.weight(chain(part, side)[1])
    if part == "torso":
        for other in ("neck01", "upperarm01.L", "upperarm01.R", "upperleg01.L", "upperleg01.R"):
            whole = whole - body.weight(other)
    return np.clip(whole, 0.0, 1.0).astype(np.float32)


def _frame(first: FloatArray, second: FloatArray, third: FloatArray) -> FloatArray:
    return np.stack([unit(first), unit(second), unit(third)]).astype(np.float32)


def hand_frame(body: EditableBody, side: str) -> FloatArray:
    """Rows: along the fingers, towards the thumb, out of the palm."""
    s = letter(side)
    along = unit(body.head(f"finger3-1.{s}") - body.head(f"wrist.{s}"))
    across = body.head(f"finger2-1.{s}") - body.head(f"finger5-1.{s}")
    across = unit(across - (across @ along) * along)
    palm = np.cross(along, across) * (1 if side == "left" else -1)
    return _frame(along, across, palm)


def foot_frame(body: EditableBody, side: str) -> FloatArray:
    """Rows: from heel to toes, towards the big toe, upwards out of the instep."""
    s = letter(side)
    along = unit(body.head(f"toe3-1.{s}") - body.head(f"foot.{s}"))
    across = body.head(f"toe1-1.{s}") - body.head(f"toe5-1.{s}")
    across = unit(across - (across @ along) * along)
    up = np.cross(along, across) * (-1 if side == "left" else 1)
    return _frame(along, across, up)


def head_frame(body: EditableBody) -> FloatArray:
    """Rows: to the person's left, up, front."""
    left = unit(body.head("eye.L") - body.head("eye.R"))
    up = body.tail("head") - body.head("head")
    up = unit(up - (up @ left) * left)
    return _frame(left, up, np.cross(left, up))


def trunk_frame(body: EditableBody) -> FloatArray:
    """Rows: to the person's left, up, front."""
    left = unit(body.head("upperleg01.L") - body.head("upperleg01.R"))
    up = body.head("neck01") - 0.5 * (body.head("upperleg01.L") + body.head("upperleg01.R"))
    up = unit(up - (up @ left) * left)
    return _frame(left, up, np.cross(left, up))


def face_anchors(body: EditableBody) -> dict[str, FloatArray]:
    """Points (3,) of the face: both eyes from the rig, nose and mouth from the distance between the eyes."""
    left, right = body.head("eye.L"), body.head("eye.R")
    gap = float(np.linalg.norm(left - right))
    _, up, front = head_frame(body)
    middle = 0.5 * (left + right)
    return {
        "eye.L": left,
        "eye.R": right,
        "nose": (middle - np.float32(0.6 * gap) * up + np.float32(0.55 * gap) * front).astype(np.float32),
        "mouth": (middle - np.float32(1.1 * gap) * up + np.float32(0.4 * gap) * front).astype(np.float32),
    }


def eye_gap(body: EditableBody) -> float:
    """Distance between the eyes in metres, the unit of length for the face."""
    return float(np.linalg.norm(body.head("eye.L") - body.head("eye.R")))
