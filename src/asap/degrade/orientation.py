"""Operations ``reversed_joint`` and ``twisted``: wrong orientation of parts (0.29 of the annotated images)."""

import numpy as np

from asap.core.records import FloatArray
from asap.degrade.anatomy import (
    chain,
    eye_gap,
    face_anchors,
    finger,
    foot_frame,
    hand_frame,
    head_frame,
    letter,
)
from asap.degrade.editable_body import EditableBody, ramp, rotate, unit

Detail = dict[str, float | int | str]

_OVER = {"hand": (45.0, 65.0, 90.0), "arm": (45.0, 65.0, 90.0), "leg": (40.0, 60.0, 85.0)}
"""Degrees beyond straight, by severity. Our choice: some joints extend by 10 to 15 degrees too far, none by 40."""
_TURN = {
    "hand": (70.0, 110.0, 150.0),
    "arm": (120.0, 150.0, 180.0),
    "leg": (80.0, 130.0, 180.0),
    "foot": (60.0, 100.0, 150.0),
    "neck": (110.0, 140.0, 175.0),
    "torso": (95.0, 120.0, 145.0),
    "face": (42.0, 56.0, 72.0),
}
"""Degrees, by severity. Our choice: severity 1 is already beyond the range of the joint."""


def reversed_joint(body: EditableBody, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Bend fingers, an elbow or a knee beyond straight, in the direction in which the joint does not bend."""
    over = float(np.radians(_OVER[part][severity - 1]))
    if part == "hand":
        return _fingers_back(body, side, severity, over, rng)
    bones, end = chain(part, side)
    upper, lower = body.head(bones[2]) - body.head(bones[0]), body.head(end) - body.head(bones[2])
    hinge = np.cross(unit(upper), unit(lower))
    bend = float(np.arctan2(np.linalg.norm(hinge), unit(upper) @ unit(lower)))
    if bend < np.radians(8):
        hinge = np.cross(
            unit(upper), _flexion(body, part, side)
        )  # the limb is straight: take the direction from the hand or foot
    body.rotate_limb(bones[2], unit(hinge), -(bend + over))
    return {"joint": bones[2], "angle": -(bend + over)}


def _flexion(body: EditableBody, part: str, side: str) -> FloatArray:
    """The direction in which the far half of a straight limb would bend."""
    return np.asarray(hand_frame(body, side)[2] if part == "arm" else -foot_frame(body, side)[0], dtype=np.float32)


def _fingers_back(body: EditableBody, side: str, severity: int, over: float, rng: np.random.Generator) -> Detail:
    chosen = [int(n) + 2 for n in rng.permutation(4)[: (1, 2, 4)[severity - 1]]]
    for number in chosen:
        bones = finger(number, side)
        back = -hand_frame(body, side)[2]
        first, second = (body.head(bones[k + 1]) - body.head(bones[k]) for k in (0, 1))
        axis = unit(np.cross(unit(first), back))
        bend = float(np.arctan2(np.linalg.norm(np.cross(unit(first), unit(second))), unit(first) @ unit(second)))
        body.rotate_limb(bones[1], axis, bend + over)
        body.rotate_limb(bones[2], axis, 0.6 * over)
    return {"fingers": "".join(str(n) for n in chosen), "angle": over}


def twisted(body: EditableBody, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Twist a wrist, forearm, shin, ankle, neck or trunk about its axis, or swirl the face."""
    angle = float(np.radians(_TURN[part][severity - 1])) * (1 if rng.random() < 0.5 else -1)
    if part == "hand":
        _wrist(body, side, angle, rng)
    elif part in ("arm", "leg"):
        bones, end = chain(part, side)
        body.twist(bones[2:], end, angle)
        _wring(body, bones[2], end, (0.65, 0.52, 0.4)[severity - 1])
        if part == "arm":
            body.rotate_limb(end, hand_frame(body, side)[2], 0.35 * angle)
    elif part == "foot":
        _ankle(body, side, angle)
    elif part == "face":
        _swirl(body, angle)
    elif part == "neck":
        bones, end = chain("neck", side)
        body.twist(bones, end, angle)
        body.rotate_limb("neck02", head_frame(body)[2], float(np.radians(10.0 * severity)))
    else:
        bones, end = chain("torso", side)
        body.twist(bones[:4], bones[4], angle)
    return {"angle": angle}


def _wring(body: EditableBody, label: str, end: str, girth: float) -> None:
    """Pinch the limb in its middle like a wrung cloth. A rotated forearm alone could be a correct pose."""
    start, stop = body.head(label), body.head(end)
    step = stop - start
    along = (body.mesh.vertices - start) @ step / np.float32(step @ step)
    share = (body.weight(label) - body.weight(end)) * ramp(along, 0.1, 0.5) * (1 - ramp(along, 0.5, 0.95))
    radial = body.mesh.vertices - start - along[:, None] * step
    body.mesh.vertices += (share * np.float32(girth - 1))[:, None] * radial


def _wrist(body: EditableBody, side: str, angle: float, rng: np.random.Generator) -> None:
    s = letter(side)
    axis = unit(body.head(f"wrist.{s}") - body.head(f"lowerarm01.{s}"))
    body.rotate_limb(f"wrist.{s}", axis, angle)
    # the wrist also leans sideways beyond its range: a rotation alone could be a correct pose
    lean = 0.6 * abs(angle) * (1 if rng.random() < 0.5 else -1)
    body.rotate_limb(f"wrist.{s}", hand_frame(body, side)[2], lean)


def _ankle(body: EditableBody, side: str, angle: float) -> None:
    s = letter(side)
    axis = unit(body.head(f"foot.{s}") - body.head(f"lowerleg01.{s}"))
    body.rotate_limb(f"foot.{s}", axis, angle)


def _swirl(body: EditableBody, angle: float) -> None:
    """Rotate the middle of the face about the viewing direction, less and less towards its rim."""
    anchors, gap = face_anchors(body), eye_gap(body)
    _, _, front = head_frame(body)
    centre = anchors["nose"]
    offset = body.mesh.vertices - centre
    flat = offset - (offset @ front)[:, None] * front
    share = body.weight("head") * (1 - ramp(np.linalg.norm(flat, axis=1), 0.3 * gap, 1.7 * gap))
    share *= ramp(offset @ front, -1.6 * gap, -0.7 * gap)
    body.mesh.vertices = rotate(body.mesh.vertices, centre, front, share * np.float32(angle))
