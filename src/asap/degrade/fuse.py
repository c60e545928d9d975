"""Operations ``fused`` (digits or legs merged into one) and ``swapped_side`` (a thumb or foot of the wrong side)."""

from itertools import pairwise

import numpy as np

from asap.core.records import FloatArray
from asap.degrade.anatomy import chain, finger, foot_frame, hand_frame, letter, toe, trunk_frame
from asap.degrade.duplicate import capped_copy
from asap.degrade.editable_body import EditableBody, unit
from asap.degrade.mesh import Mesh, cut

Detail = dict[str, float | int | str]


def fused(body: EditableBody, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Merge neighbouring fingers or toes, or both legs, into one."""
    if part == "leg":
        return _legs(body, severity)
    count = (2, 3, 4)[severity - 1]
    if part == "foot":
        first = int(rng.integers(1, 3)) if severity < 3 else 1
        group = [toe(n, side) for n in range(first, first + count + 1)]
        fallback_axis = foot_frame(body, side)[2]
    else:
        first = int(rng.integers(2, 7 - count))
        group = [finger(n, side) for n in range(first, first + count)]
        fallback_axis = hand_frame(body, side)[2]
    _align(body, group, fallback_axis)
    _web(body, group)
    return {"first": first, "count": len(group)}


def _align(body: EditableBody, group: list[tuple[str, ...]], fallback_axis: FloatArray) -> None:
    """Give all digits of the group the bend of the middle digit."""
    model = group[(len(group) - 1) // 2]
    joints = body.joints(model, None)
    for digit in group:
        if digit is model:
            continue
        for number, label in enumerate(digit):
            end = body.head(digit[number + 1]) if number + 1 < len(digit) else body.tail(label)
            step = joints[min(number, len(joints) - 2) + 1] - joints[min(number, len(joints) - 2)]
            body.rotate_limb_towards(label, end, step, fallback_axis)


def _web(body: EditableBody, group: list[tuple[str, ...]]) -> None:
    """Fill the gaps between the digits with copies of them, so close that they look like one digit."""
    pieces = []
    for near, far in pairwise(group):
        start, gap = body.head(near[0]), body.head(far[0]) - body.head(near[0])
        direction = unit(body.head(near[1]) - start)
        # one copy, as wide as the distance between the middles of two digits, has no groove of its own
        across = unit(gap - (gap @ direction) * direction)
        piece = capped_copy(body, near[0], 0.25, direction)
        width = 0.62 + 0.5 * float(np.linalg.norm(gap)) / max(_radius(piece.vertices, start, across), 1e-4)
        local = piece.vertices - start
        local += (width - 1) * (local @ across)[:, None] * across
        thin = unit(np.cross(direction, across))
        local -= 0.05 * (local @ thin)[:, None] * thin  # the copy lies between the digits, not over them
        piece.vertices = (start + 0.5 * gap + local).astype(np.float32)
        pieces.append(piece)
    for piece in pieces:
        body.mesh.append(piece)


def _radius(points: FloatArray, centre: FloatArray, across: FloatArray) -> float:
    """Half the width of a digit; outlying vertices of its root do not count."""
    return float(np.quantile(np.abs((points - centre) @ across), 0.8))


def _legs(body: EditableBody, severity: int) -> Detail:
    """Rotate both legs together until knees and ankles meet, and fill the remaining gap.

    Legs that only touch or cross are a correct pose. These legs share flesh from severity 1 on.
    """
    share = (0.9, 0.95, 1.0)[severity - 1]
    fallback_axis = trunk_frame(body)[2]
    legs = [(*chain("leg", side)[0], chain("leg", side)[1]) for side in ("left", "right")]
    joints = np.array([[body.head(bones[2]), body.head(bones[4])] for bones in legs])
    goals = joints + share * (joints.mean(axis=0) - joints)
    for number, (first, second) in enumerate(((0, 2), (2, 4))):
        for bones, leg_goals in zip(legs, goals, strict=True):
            start = body.head(bones[first])
            body.rotate_limb_towards(bones[first], body.head(bones[second]), leg_goals[number] - start, fallback_axis)
    for side in ("left", "right"):
        bones, end = chain("leg", side)
        body.inflate(bones, end, (1.12, 1.16, 1.2)[severity - 1])
    return {"share": share}


def swapped_side(body: EditableBody, part: str, side: str, severity: int, rng: np.random.Generator) -> Detail:
    """Put the thumb, or the mirrored foot, on the wrong side."""
    size = float(rng.uniform(0.97, 1.03)) * (1.0, 1.12, 1.25)[severity - 1]
    if part == "hand":
        return _thumb(body, side, size)
    s = letter(side)
    joint, frame = body.head(f"foot.{s}"), foot_frame(body, side)
    shin = unit(joint - body.head(f"lowerleg01.{s}"))
    limb = body.weight(f"lowerleg02.{s}") > 0.5
    # cut and mirror in the same plane, so that the two rims meet
    point = (joint - 0.02 * shin).astype(np.float32)
    piece = cut(body.mesh, limb, point, shin, 0.2)
    across = unit(frame[1] - (frame[1] @ shin) * shin)
    near = np.abs((piece.vertices - point) @ shin) < 0.004
    centre = piece.vertices[near].mean(axis=0) if near.any() else point
    body.mesh.append(_mirrored(piece, centre, across, size))
    return {"size": size, "scope": "foot"}


def _thumb(body: EditableBody, side: str, size: float) -> Detail:
    """Move the thumb beside the little finger.

    A mirrored hand would be correct in a close-up, because it looks like the other hand.
    """
    s = letter(side)
    frame = hand_frame(body, side)
    middle = 0.5 * (body.head(f"finger2-1.{s}") + body.head(f"finger5-1.{s}"))
    joints = body.joints(finger(1, side), None)
    away = unit(joints[1] - joints[0])
    piece = _mirrored(capped_copy(body, f"finger1-1.{s}", 0.35, away), middle, frame[1], 1.0)
    reach = (joints[0] - middle) @ frame[1]
    root = joints[0] - 2 * reach * frame[1]
    # the hand has no ball of the thumb on this side: the copy starts deeper
    inward = 0.25 * reach * frame[1] + 0.012 * frame[0]
    piece.vertices = (root + np.float32(size) * (piece.vertices - root) + inward).astype(np.float32)
    point = (joints[0] + 0.8 * (joints[1] - joints[0])).astype(np.float32)
    cut(body.mesh, body.weight(f"finger1-1.{s}") > 0.3, point, away, 0.5)
    body.mesh.append(piece)
    return {"size": size, "scope": "thumb"}


def _mirrored(piece: Mesh, centre: FloatArray, normal: FloatArray, size: float) -> Mesh:
    local = piece.vertices - centre
    turned = local - 2 * (local @ normal)[:, None] * normal
    piece.vertices = (centre + np.float32(size) * turned).astype(np.float32)
    piece.faces = piece.faces[:, ::-1].copy()
    return piece
