"""Rotations as 3x3 matrices: about an axis, between directions, between frames; and two-bone reach."""

import numpy as np

from asap.core.records import FloatArray


def unit(vector: FloatArray) -> FloatArray:
    """``vector`` scaled to length 1."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), dtype=np.float32)


def about(axis: FloatArray, angle: float) -> FloatArray:
    """Rotation by ``angle`` radians about ``axis`` (right-handed)."""
    x, y, z = unit(np.asarray(axis, dtype=np.float32))
    c, s = np.cos(angle), np.sin(angle)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + s * k + (1 - c) * (k @ k), dtype=np.float32)


def frame(main: FloatArray, second: FloatArray) -> FloatArray:
    """Orthonormal columns: ``main``, the part of ``second`` across it, and their cross product."""
    a = unit(main)
    b = unit(second - a * float(a @ second))
    return np.stack([a, b, np.cross(a, b)], axis=1).astype(np.float32)


def between(start: FloatArray, end: FloatArray) -> FloatArray:
    """The smallest rotation that takes direction ``start`` to direction ``end``."""
    a, b = unit(start), unit(end)
    axis = np.cross(a, b)
    sine = float(np.linalg.norm(axis))
    if sine < 1e-6:
        other = np.array([1.0, 0.0, 0.0]) if abs(a[0]) < 0.9 else np.array([0.0, 1.0, 0.0])
        return about(np.cross(a, other).astype(np.float32), 0.0 if a @ b > 0 else np.pi)
    return about(axis.astype(np.float32), float(np.arctan2(sine, a @ b)))


def part_way(turn: FloatArray, share: float) -> FloatArray:
    """The rotation ``turn`` by ``share`` of its angle about the same axis."""
    angle = float(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
    axis = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    if np.linalg.norm(axis) < 1e-6:
        return np.eye(3, dtype=np.float32) if angle < 1.0 else turn
    return about(axis.astype(np.float32), angle * share)


def twist_about(turn: FloatArray, axis: FloatArray) -> float:
    """Angle in radians by which ``turn`` rotates about ``axis``, its swing left out."""
    a = unit(axis)
    straight = between(turn @ a, a) @ turn
    other = unit(np.cross(a, [1.0, 0.0, 0.0] if abs(a[0]) < 0.9 else [0.0, 1.0, 0.0]).astype(np.float32))
    moved = straight @ other
    return float(np.arctan2(np.cross(other, moved) @ a, other @ moved))


def reach(start: FloatArray, goal: FloatArray, upper: float, lower: float, pole: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Middle and end joint of a two-bone chain of lengths ``upper`` and ``lower`` (metres) from ``start`` to ``goal``.

    ``pole`` is the direction towards which the middle joint bends. A goal out of reach is brought within it.
    """
    line = goal - start
    distance = float(np.clip(np.linalg.norm(line), abs(upper - lower) * 1.05 + 1e-3, (upper + lower) * 0.999))
    along = unit(line)
    side = unit(pole - along * float(along @ pole))
    share = (upper**2 - lower**2 + distance**2) / (2 * distance)
    height = np.sqrt(max(upper**2 - share**2, 0.0))
    middle = start + along * share + side * height
    return middle.astype(np.float32), (start + along * distance).astype(np.float32)
