"""Simple objects that people hold or sit on, as small closed meshes."""

from typing import Any

import numpy as np
import numpy.typing as npt

from asap.bodies.rotations import orthonormal_frame
from asap.core.records import Floats, Prop


def cylinder(name: str, start: Floats, end: Floats, radius: float, colour: Floats, sides: int = 18) -> Prop:
    """A closed cylinder from ``start`` to ``end``, ``radius`` in metres."""
    axes = orthonormal_frame(end - start, np.array([0.31, 0.83, 0.46], dtype=np.float32))
    angles = np.linspace(0.0, 2 * np.pi, sides, endpoint=False)
    ring = radius * (np.cos(angles)[:, None] * axes[:, 1] + np.sin(angles)[:, None] * axes[:, 2])
    walls = np.concatenate([start + ring, end + ring])
    caps = np.concatenate([start + ring, end + ring, [start], [end]])
    faces: list[tuple[int, int, int]] = []
    base = 2 * sides
    for i in range(sides):
        j = (i + 1) % sides
        faces += [(i, j, sides + i), (j, sides + j, sides + i)]
        faces += [(base + i, base + 2 * sides, base + j), (base + sides + i, base + sides + j, base + 2 * sides + 1)]
    return _prop(name, np.concatenate([walls, caps]), np.array(faces), colour)


def ball(name: str, centre: Floats, radius: float, colour: Floats) -> Prop:
    """A sphere of ``radius`` metres."""
    rows, columns = 12, 20
    polar = np.linspace(0.0, np.pi, rows)[:, None]
    turn = np.linspace(0.0, 2 * np.pi, columns, endpoint=False)[None]
    points = np.stack([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar) + 0 * turn], axis=-1)
    faces = []
    for i in range(rows - 1):
        for j in range(columns):
            a, b = i * columns + j, i * columns + (j + 1) % columns
            faces += [(a, a + columns, b), (b, a + columns, b + columns)]
    return _prop(name, centre + radius * points.reshape(-1, 3), np.array(faces), colour)


def box(name: str, centre: Floats, axes: Floats, half: tuple[float, float, float], colour: Floats) -> Prop:
    """A box with half sizes ``half`` (metres) along the columns of ``axes``."""
    vertices: list[Floats] = []
    faces: list[tuple[int, int, int]] = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            first, second = (
                axes[:, (axis + 1) % 3] * half[(axis + 1) % 3],
                axes[:, (axis + 2) % 3] * half[(axis + 2) % 3],
            )
            middle = centre + sign * axes[:, axis] * half[axis]
            start = len(vertices)
            vertices += [
                middle - first - second,
                middle + first - second,
                middle + first + second,
                middle - first + second,
            ]
            quad = [(start, start + 1, start + 2), (start, start + 2, start + 3)]
            faces += quad if sign > 0 else [(a, c, b) for a, b, c in quad]
    return _prop(name, np.array(vertices), np.array(faces), colour)


def _prop(name: str, vertices: Floats, faces: npt.NDArray[np.integer[Any]], colour: Floats) -> Prop:
    return Prop(
        name=name,
        vertices=vertices.astype(np.float32),
        faces=faces.astype(np.int32),
        colours=np.tile(np.asarray(colour, dtype=np.float32), (len(vertices), 1)),
    )
