"""Rotations as 3x3 matrices (about an axis, between directions, between frames) and two-bone inverse kinematics."""

from typing import Any

import numpy as np

from asap.core.records import FloatArray, Floats

_EYE = np.eye(3)


def length(vector: Floats) -> np.floating[Any]:
    """Length of ``vector`` (3,), in its own precision."""
    flat = vector.ravel()
    root: np.floating[Any] = np.sqrt(flat.dot(flat))
    return root


def cross(first: Floats, second: Floats) -> Floats:
    """Cross product of two vectors (3,), twenty times as fast as ``np.cross`` for one pair."""
    (x, y, z), (u, v, w) = first, second
    return np.array([y * w - z * v, z * u - x * w, x * v - y * u])


def unit(vector: Floats) -> FloatArray:
    """``vector`` scaled to length 1."""
    return np.asarray(vector / max(float(length(vector)), 1e-9), dtype=np.float32)


def rotation_about(axis: Floats, angle: float) -> FloatArray:
    """Rotation by ``angle`` radians about ``axis`` (right-handed)."""
    x, y, z = unit(np.asarray(axis, dtype=np.float32)).tolist()
    c, s = np.cos(angle), np.sin(angle)
    k = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(_EYE + s * k + (1 - c) * (k @ k), dtype=np.float32)


def orthonormal_frame(main: Floats, second: Floats) -> FloatArray:
    """Orthonormal columns: ``main``, the component of ``second`` perpendicular to it, and their cross product."""
    a = unit(main)
    b = unit(second - a * float(a @ second))
    return np.ascontiguousarray(np.array([a, b, cross(a, b)], dtype=np.float32).T)


def rotation_between(start: Floats, end: Floats) -> FloatArray:
    """The smallest rotation that takes direction ``start`` to direction ``end``."""
    a, b = unit(start), unit(end)
    axis = cross(a, b)
    sine = float(length(axis))
    if sine < 1e-6:
        other = np.array([1.0, 0.0, 0.0]) if abs(a[0]) < 0.9 else np.array([0.0, 1.0, 0.0])
        return rotation_about(cross(a, other).astype(np.float32), 0.0 if a @ b > 0 else np.pi)
    return rotation_about(axis.astype(np.float32), float(np.arctan2(sine, a @ b)))


def twist_about(turn: FloatArray, axis: FloatArray) -> float:
    """Angle in radians by which ``turn`` rotates about ``axis``, without its swing."""
    a = unit(axis)
    straight = rotation_between(turn @ a, a) @ turn
    other = unit(cross(a, _EYE[0] if abs(a[0]) < 0.9 else _EYE[1]).astype(np.float32))
    moved = straight @ other
    return float(np.arctan2(cross(other, moved) @ a, other @ moved))


def two_bone_reach(
    start: Floats, goal: Floats, upper: float, lower: float, pole: Floats
) -> tuple[FloatArray, FloatArray]:
    """Middle and end joint of a two-bone chain of lengths ``upper`` and ``lower`` (metres) from ``start`` to ``goal``.

    ``pole`` is the direction towards which the middle joint bends. A goal out of reach is moved within reach.
    """
    line = goal - start
    distance = float(np.clip(length(line), abs(upper - lower) * 1.05 + 1e-3, (upper + lower) * 0.999))
    along = unit(line)
    side = unit(pole - along * float(along @ pole))
    share = (upper**2 - lower**2 + distance**2) / (2 * distance)
    height = np.sqrt(max(upper**2 - share**2, 0.0))
    middle = start + along * share + side * height
    return middle.astype(np.float32), (start + along * distance).astype(np.float32)
