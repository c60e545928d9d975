"""Operations ``extra``, ``split`` and ``duplicated``.

Each copy keeps its skin and starts inside the flesh of the original.
"""

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
    toe,
    trunk_frame,
)
from asap.degrade.editable_body import EditableBody, axis_angle_between, ramp, rotate, unit
from asap.degrade.mesh import Mesh, cap_all

Detail = dict[str, float | int | str]


def capped_copy(body: EditableBody, label: str, floor: float, outward: FloatArray) -> Mesh:
    """A capped copy of the limb from bone ``label`` outwards. ``floor`` sets how deep the copy starts in the flesh."""
    piece = body.mesh.select(body.weight(label) > floor)
    cap_all(piece, -outward, 0.4)
    return piece


def placed(piece: Mesh, joint: FloatArray, goal: FloatArray, size: float) -> Mesh:
    """``piece`` scaled by ``size`` about ``joint`` and translated so that the joint comes to ``goal``."""
    piece.vertices = ((piece.vertices - joint) * np.float32(size) + goal).astype(np.float32)
    return piece


def extra(body: EditableBody, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Add a finger, toe, arm, leg or facial feature (two fingers or toes at severity 3)."""
    if part == "hand":
        return _extra_digits(body, side, severity, rng)
    if part == "foot":
        return _extra_toes(body, side, severity)
    if part == "face":
        return _extra_feature(body, severity, rng)
    return _extra_limb(body, part, side, severity, rng)


def _extra_digits(body: EditableBody, side: str, severity: int, rng: np.random.Generator) -> Detail:
    size = (0.85, 1.0, 1.05)[severity - 1] * float(rng.uniform(0.94, 1.06))
    slots = [int(n) for n in rng.permutation([2, 3, 4, 5])][: 1 if severity < 3 else 2]
    palm = hand_frame(body, side)[2]
    room = float(np.radians(7 if side == "left" else -7))
    pieces = []
    for slot in slots:
        # a hand with an additional finger spreads, so that each finger has space
        for number in FAN:
            if slot < 5:
                body.rotate_limb(f"finger{number}-1.{letter(side)}", palm, room * (-1 if number <= slot else 1))
        pieces.append(_digit(body, side, slot, size, rng))
    for piece in pieces:
        body.mesh.append(piece)
    return {"slots": "".join(str(n) for n in slots), "size": size}


FAN = (2, 3, 4, 5)


def _digit(body: EditableBody, side: str, slot: int, size: float, rng: np.random.Generator) -> Mesh:
    """A copy of finger ``slot`` between it and the next one, or beyond the little finger."""
    bones = finger(slot, side)
    joint, step = body.head(bones[0]), body.head(bones[1]) - body.head(bones[0])
    along, across, palm = hand_frame(body, side)
    if slot < 5:
        other = finger(slot + 1, side)
        near, near_step = body.head(other[0]), body.head(other[1]) - body.head(other[0])
        goal, direction = 0.5 * (joint + near), unit(step) + unit(near_step)
    else:
        gap = joint - body.head(finger(4, side)[0])
        goal, direction = joint + 0.3 * gap - 0.036 * along, unit(step) - 0.4 * across
    piece = capped_copy(body, bones[0], 0.25, unit(step))
    axis, angle = axis_angle_between(step, direction, palm)
    piece.vertices = rotate(piece.vertices, joint, axis, angle + float(rng.normal(0, 0.03)))
    return placed(piece, joint, (goal - 0.006 * along).astype(np.float32), size)


def _extra_toes(body: EditableBody, side: str, severity: int) -> Detail:
    gap = body.head(toe(5, side)[0]) - body.head(toe(4, side)[0])
    along = foot_frame(body, side)[0]
    pieces = []
    for number in range(1 + severity):
        source = toe((5, 1, 4, 5)[number], side)
        joint = body.head(source[0])
        base = body.head(toe(1, side)[0]) - 1.1 * gap if number == 1 else body.head(toe(5, side)[0])
        steps = (0.6, 0.0, 1.2, 1.8)[number]
        goal = base + steps * gap - (0.006 + 0.012 * steps) * along
        pieces.append(
            placed(capped_copy(body, source[0], 0.25, along), joint, goal.astype(np.float32), 1.0 + 0.08 * severity)
        )
    for piece in pieces:
        body.mesh.append(piece)
    return {"toes": len(pieces)}


def _extra_limb(body: EditableBody, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    bones, _ = chain(part, side)
    left, up, front = trunk_frame(body)
    size = (0.72, 0.86, 1.0)[severity - 1]
    joint = body.head(bones[0])
    outward = body.head(bones[2]) - joint
    piece = capped_copy(body, bones[0], 0.25, unit(outward))
    lean = float(np.radians(rng.uniform(28, 50))) * (1 if rng.random() < 0.5 else -1)
    sign = 1.0 if side == "left" else -1.0
    if part == "arm":
        goal = joint - float(rng.uniform(0.04, 0.1)) * up - sign * 0.07 * left
        axis = front if rng.random() < 0.7 else left
    else:
        goal = joint - sign * float(rng.uniform(0.0, 0.05)) * left
        axis, lean = (front, -sign * abs(lean) * 0.8) if rng.random() < 0.6 else (left, -abs(lean))
    piece.vertices = rotate(piece.vertices, joint, axis, lean)
    body.mesh.append(placed(piece, joint, goal.astype(np.float32), size))
    return {"angle": lean, "size": size}


def split(body: EditableBody, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Fork a finger, hand, forearm, shin or foot in two."""
    angle = float(np.radians((13.0, 21.0, 31.0)[severity - 1]))
    if part in ("arm", "leg"):
        bones, _ = chain(part, side)
        axis = trunk_frame(body)[2] if rng.random() < 0.7 else trunk_frame(body)[0]
        _fork(body, bones[2], axis, 1.1 * angle)
        return {"joint": bones[2], "angle": angle}
    if part == "foot" or rng.random() < 0.4:
        return _cleft(body, part, side, severity)
    order = [int(n) + 1 for n in rng.permutation(5)][: (1, 2, 3)[severity - 1]]
    palm = hand_frame(body, side)[2]
    for number in order:
        _fork(body, finger(number, side)[1], palm, 1.25 * angle)
    return {"fingers": "".join(str(n) for n in order), "angle": angle}


def _fork(body: EditableBody, label: str, axis: FloatArray, angle: float) -> None:
    joint = body.head(label)
    parent = body.head(body.original.bone_labels[body.original.bone_parents[body.bone(label)]])
    piece = capped_copy(body, label, 0.3, unit(joint - parent))
    piece.vertices = rotate(piece.vertices, joint, axis, angle)
    body.rotate_limb(label, axis, -angle)
    body.mesh.append(piece)


def _cleft(body: EditableBody, part: str, side: str, severity: int) -> Detail:
    """Drive the two halves of a hand or foot apart, deeper and wider with higher severity."""
    s = letter(side)
    root = f"wrist.{s}" if part == "hand" else f"foot.{s}"
    frame = hand_frame(body, side) if part == "hand" else foot_frame(body, side)
    digits, last = (finger, 3) if part == "hand" else (toe, 2)
    ends = digits(last, side)[0], digits(last + 1, side)[0]
    joint, middle = body.head(root), 0.5 * (body.head(ends[0]) + body.head(ends[1]))
    length = float(np.linalg.norm(middle - joint))
    offset = body.mesh.vertices - joint
    along = offset @ frame[0] / np.float32(length)
    lateral = (offset - np.outer(along, middle - joint)) @ frame[1] / np.float32(length)
    inner = sum(body.weight(digits(n, side)[0]) for n in range(1, last + 1))
    outer = sum(body.weight(digits(n, side)[0]) for n in range(last + 1, 6))
    # each digit goes to one side as a whole; only the skin behind the digits is divided by position
    way = inner - outer + (1 - inner - outer) * np.tanh(lateral / 0.12)
    open_ = body.weight(root) * ramp(along, (0.75, 0.5, 0.25)[severity - 1], 1.1)
    width = (0.16, 0.24, 0.32)[severity - 1] * length
    apart = way * open_ * np.maximum(along, 0.0)
    body.mesh.vertices += apart[:, None] * frame[1] * np.float32(width)
    return {"cleft": width}


def duplicated(body: EditableBody, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Add a second hand, arm, leg, foot or set of facial features beside the first, as in a double exposure."""
    if part == "face":
        return _second_face(body, severity, rng)
    angle = float(np.radians((28.0, 45.0, 65.0)[severity - 1])) * (1 if rng.random() < 0.5 else -1)
    if part in ("arm", "leg"):
        bones, _ = chain(part, side)
        label, axis, floor = bones[0], trunk_frame(body)[2 if rng.random() < 0.6 else 0], 0.5
        outward, angle = unit(body.head(bones[2]) - body.head(label)), 0.6 * angle
    elif part == "hand":
        label, floor = f"wrist.{letter(side)}", 0.4
        outward, axis = hand_frame(body, side)[0], hand_frame(body, side)[2]
    else:
        label, floor = f"foot.{letter(side)}", 0.4
        shin = unit(body.head(label) - body.head(f"lowerleg01.{letter(side)}"))
        outward, axis = shin, shin
    piece = capped_copy(body, label, floor, outward)
    piece.vertices = rotate(piece.vertices, body.head(label), axis, angle)
    if part == "hand":
        body.rotate_limb(label, axis, -0.35 * angle)
    body.mesh.append(piece)
    return {"joint": label, "angle": angle}


def _second_face(body: EditableBody, severity: int, rng: np.random.Generator) -> Detail:
    left, up, front = head_frame(body)
    gap = eye_gap(body)
    if rng.random() < 0.35:
        way = 1.0 if rng.random() < 0.5 else -1.0
        piece = capped_copy(body, "neck03", 0.5, up)
        joint = body.head("neck03")
        piece.vertices = rotate(piece.vertices, joint, front, way * float(np.radians((14, 24, 36)[severity - 1])))
        piece.vertices += (way * gap * (0.5, 0.8, 1.1)[severity - 1] * left).astype(np.float32)
        body.mesh.append(piece)
        return {"scope": "head"}
    names = ("mouth", "nose", "eye.L", "eye.R")
    chosen = (names[2:], names[1:], names)[severity - 1]
    raised = (0.75 + 0.12 * float(rng.random())) * gap
    for name in chosen:
        patch(body, name, raised if name.startswith("eye") else -0.72 * gap, 0.0)
    return {"scope": " ".join(chosen)}


def _extra_feature(body: EditableBody, severity: int, rng: np.random.Generator) -> Detail:
    gap = eye_gap(body)
    name = str(rng.choice(["eye.L", "eye.R", "nose", "mouth"]))
    sideways = float(rng.uniform(0.7, 0.85)) * gap * (1 if rng.random() < 0.5 else -1)
    if name.startswith("eye"):
        inward = -0.5 * gap if name == "eye.L" else 0.5 * gap
        patch(body, name, 0.85 * gap, inward, size=0.9 + 0.2 * severity)
    else:
        patch(body, name, -0.1 * gap, sideways, size=0.75 + 0.2 * severity)
    return {"feature": name}


def patch(body: EditableBody, name: str, up_by: float, left_by: float, size: float = 1.0) -> None:
    """Copy the skin around one facial feature to another place on the face, its rim sunk below the surface."""
    left, up, front = frame = head_frame(body)
    gap, anchor = eye_gap(body), face_anchors(body)[name]
    reach = np.array({"nose": (0.36, 0.5), "mouth": (0.6, 0.36)}.get(name, (0.46, 0.36)), dtype=np.float32) * gap
    local = (body.mesh.vertices - anchor) @ frame.T
    flat = np.hypot(local[:, 0] / reach[0], local[:, 1] / reach[1])
    chosen = (flat < 1) & (local[:, 2] > -0.75 * gap) & (body.weight("head") > 0.5)
    piece = body.mesh.select(chosen)
    here = (piece.vertices - anchor) @ frame.T
    there = _surface(body, anchor + up_by * up + left_by * left, frame, gap)
    own = _surface(body, anchor, frame, gap)
    rim = ramp(np.hypot(here[:, 0] / reach[0], here[:, 1] / reach[1]), 0.55, 1.0)
    here = here * np.float32(size)
    here[:, 2] -= 0.22 * gap * rim
    lift = there - own + (0.12 if name.startswith("eye") else 0.02) * gap
    goal = anchor + up_by * up + left_by * left + lift * front
    placed_at = (here @ frame + goal).astype(np.float32)
    # follow the cheek: otherwise a patch at the side of the face stands out like a shelf
    side_by = 0.3 * gap * (1.0 if left_by > 0 else -1.0)
    slope = there - _surface(body, anchor + up_by * up + (left_by + side_by) * left, frame, gap)
    lean = float(np.arctan2(slope, 0.3 * gap)) * (1.0 if left_by > 0 else -1.0) if left_by else 0.0
    piece.vertices = rotate(placed_at, goal, up, lean)
    body.mesh.append(piece)


def _surface(body: EditableBody, point: FloatArray, frame: FloatArray, gap: float) -> float:
    """Distance of the skin in front of ``point``, along the viewing direction of the face."""
    local = (body.mesh.vertices[: len(body.original.vertices)] - point) @ frame.T
    near = (np.hypot(local[:, 0], local[:, 1]) < 0.22 * gap) & (body.weight("head")[: len(local)] > 0.5)
    return float(local[near, 2].max()) if near.any() else 0.0
