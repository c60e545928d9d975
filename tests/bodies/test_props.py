import numpy as np
import pytest

from asap.bodies.props import ball, box, cylinder
from asap.core.records import Prop
from tests.bodies.figures import spot

RED = spot(1, 0, 0)
THINGS = {
    "cylinder": (cylinder("stick", spot(0, 0, 0), spot(0, 0, 2), 0.5, RED), np.pi * 0.25 * 2, 0.5, 2.0),
    "ball": (ball("ball", spot(0, 0, 1), 0.5, RED), 4 / 3 * np.pi * 0.125, 0.5, 1.0),
    "box": (box("box", spot(0, 0, 1), np.eye(3), (0.5, 0.4, 1.0), RED), 8 * 0.2, 0.5, 2.0),
}


def volume(prop: Prop) -> float:
    """Signed volume: positive when all triangles wind outwards."""
    a, b, c = (prop.vertices[prop.faces[:, i]].astype(np.float64) for i in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


@pytest.mark.parametrize("name", THINGS)
def test_an_object_is_closed_and_as_large_as_asked(name: str) -> None:
    prop, expected, half, height = THINGS[name]
    assert abs(volume(prop)) == pytest.approx(expected, rel=0.08)
    assert np.abs(prop.vertices[:, 0]).max() == pytest.approx(half, rel=0.02)
    assert np.ptp(prop.vertices[:, 2]) == pytest.approx(height, rel=0.02)
    assert prop.faces.max() < len(prop.vertices) == len(prop.colours)
    assert prop.vertices.dtype == np.float32
    assert prop.faces.dtype == np.int32
