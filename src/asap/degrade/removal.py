"""Operations ``missing`` and ``detached``. Stumps are rounded, and a face without a feature is smooth skin."""

import numpy as np

from asap.core.records import FloatArray
from asap.degrade.anatomy import chain, eye_gap, face_anchors, finger, foot_frame, hand_frame, head_frame, letter
from asap.degrade.editable_body import EditableBody, rotate, unit
from asap.degrade.mesh import cover, cut, relax

Detail = dict[str, float | int | str]

_HALF = 0.5
"""A vertex belongs to a limb if at least half of its weight does."""


def missing(body: EditableBody, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Remove fingers, a hand, a foot, part of a limb, or features of the face."""
    if part == "hand":
        return _hand_gone(body, side, severity, rng)
    if part == "face":
        return _features_gone(body, severity, rng)
    if part == "foot":
        return _foot_gone(body, side, severity)
    bones, end = chain(part, side)
    joints = body.joints((bones[0], bones[2]), end)
    where = (1.55, 1.1, 0.5)[severity - 1] + 0.2 * float(rng.random())  # 1 is the elbow or knee
    number = int(where)
    direction = unit(joints[number + 1] - joints[number])
    point = joints[number] + (where - number) * (joints[number + 1] - joints[number])
    # below the joint, do not cut the upper limb: a bent limb can lie beyond the plane as a whole
    limb = body.weight(bones[2 * number]) > _HALF
    cut(body.mesh, limb, point, direction, 0.7)
    return {"where": where}


def _hand_gone(body: EditableBody, side: str, severity: int, rng: np.random.Generator) -> Detail:
    order = rng.permutation(5) + 1
    whole = bool(rng.random() < 0.3)
    if not whole:
        chosen = [int(n) for n in order[: (1, 2, 4)[severity - 1]]]
        for number in chosen:
            _finger_off(body, side, number, 0.3)
        return {"fingers": "".join(str(n) for n in chosen)}
    s = letter(side)
    along = hand_frame(body, side)[0]
    wrist, knuckles = body.head(f"wrist.{s}"), body.head(f"finger3-1.{s}")
    if severity == 1:
        for number in (2, 3, 4, 5):
            _finger_off(body, side, number, 1.0)
    else:
        point = wrist + (0.8 if severity == 2 else 0.05) * (knuckles - wrist)
        cut(body.mesh, body.weight(f"wrist.{s}") > _HALF, point.astype(np.float32), along, 0.5)
    return {"scope": "whole"}


def _finger_off(body: EditableBody, side: str, number: int, where: float) -> None:
    """Leave a stub of ``where`` phalanges of finger ``number``."""
    joints = body.joints(finger(number, side), None)
    segment = int(where)
    step = joints[segment + 1] - joints[segment]
    point = (joints[segment] + (where - segment) * step).astype(np.float32)
    cut(body.mesh, body.weight(finger(number, side)[segment]) > 0.3, point, unit(step), 0.8)


def _foot_gone(body: EditableBody, side: str, severity: int) -> Detail:
    s = letter(side)
    ankle, toes = body.head(f"foot.{s}"), body.head(f"toe3-1.{s}")
    if severity == 3:
        shin = unit(ankle - body.head(f"lowerleg01.{s}"))
        limb = body.weight(f"lowerleg02.{s}") > _HALF
        cut(body.mesh, limb, (ankle - 0.03 * shin).astype(np.float32), shin, 0.6)
    else:
        where = (0.6, 0.25)[severity - 1]  # missing toes alone look like a short foot
        point = (ankle + where * (toes - ankle)).astype(np.float32)
        cut(body.mesh, body.weight(f"foot.{s}") > _HALF, point, foot_frame(body, side)[0], 0.5)
    return {"severity": severity}


def _features_gone(body: EditableBody, severity: int, rng: np.random.Generator) -> Detail:
    names = [str(n) for n in rng.permutation(["eye.L", "eye.R", "nose", "mouth"])][: (1, 2, 4)[severity - 1]]
    count = len(body.mesh.vertices)
    for name in names:
        _erase(body, name)
    relax(body.mesh, np.arange(len(body.mesh.vertices)) >= count)
    return {"features": " ".join(names)}


def _erase(body: EditableBody, name: str) -> None:
    """Replace one facial feature with smooth skin. An eyeball under it is removed."""
    gap, anchor, frame = eye_gap(body), face_anchors(body)[name], head_frame(body)
    reach = {"nose": (0.42, 0.62), "mouth": (0.6, 0.42)}.get(name, (0.45, 0.34))
    offset = (body.mesh.vertices - anchor) @ frame.T
    flat = np.hypot(offset[:, 0] / (reach[0] * gap), offset[:, 1] / (reach[1] * gap))
    inside = (flat < 1) & (offset[:, 2] > -0.8 * gap) & (body.weight("head") > _HALF)
    if name.startswith("eye"):
        ball = body.weight(name) > 0.9
        gone = ball[body.mesh.faces].all(axis=1)
        body.mesh.faces = body.mesh.faces[~gone]
        inside &= ~ball
    cover(body.mesh, inside, frame[2])


def detached(body: EditableBody, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Cut a part off and move it away from its stump. Both ends are rounded."""
    label, point, direction, reach = _joint(body, part, side, rng)
    floor = 0.3 if "finger" in label or "toe" in label else _HALF
    piece = cut(body.mesh, body.weight(label) > floor, point, direction, 0.35)
    lean = rng.normal(size=3).astype(np.float32)
    lean -= (lean @ direction) * direction
    offset = reach * (0.4, 0.75, 1.15)[severity - 1] * (direction + 0.35 * unit(lean))
    piece.vertices = rotate(piece.vertices, point, unit(lean), 0.12 * severity) + offset.astype(np.float32)
    body.mesh.append(piece)
    return {"joint": label, "gap": float(np.linalg.norm(offset))}


def _joint(
    body: EditableBody, part: str, side: str, rng: np.random.Generator
) -> tuple[str, FloatArray, FloatArray, float]:
    """Where to cut: bone, point, direction away from the trunk, and a length in metres that sets the gap."""
    if part in ("arm", "leg"):
        bones, end = chain(part, side)
        start, stop = body.head(bones[2]), body.head(end)
        share = 0.1 + 0.6 * float(rng.random())
        step = stop - start
        return bones[2], (start + share * step).astype(np.float32), unit(step), 0.35 * float(np.linalg.norm(step))
    if part == "neck":
        start, stop = body.head("neck01"), body.head("head")
        return "neck01", (0.5 * (start + stop)).astype(np.float32), unit(stop - start), 0.1
    s = letter(side)
    if part == "hand" and rng.random() < 0.6:
        bones = finger(int(rng.integers(1, 6)), side)
        step = body.head(bones[1]) - body.head(bones[0])
        return bones[0], (body.head(bones[0]) + 0.45 * step).astype(np.float32), unit(step), 0.022
    if part == "hand":
        along = hand_frame(body, side)[0]
        return f"wrist.{s}", body.head(f"wrist.{s}"), along, 0.06
    ankle = body.head(f"foot.{s}")
    shin = unit(ankle - body.head(f"lowerleg01.{s}"))
    return f"lowerleg02.{s}", (ankle - 0.04 * shin).astype(np.float32), shin, 0.09
