import numpy as np
import pytest

from asap.bodies.rotations import (
    cross,
    orthonormal_frame,
    rotation_about,
    rotation_between,
    twist_about,
    two_bone_reach,
)
from asap.core.records import Floats
from tests.bodies.figures import spot

X, Y, Z = spot(1, 0, 0), spot(0, 1, 0), spot(0, 0, 1)


def is_rotation(turn: Floats) -> bool:
    return bool(np.allclose(turn @ turn.T, np.eye(3), atol=1e-5) and np.isclose(np.linalg.det(turn), 1.0, atol=1e-5))


def test_turns_are_right_handed() -> None:
    assert np.allclose(rotation_about(Z, np.pi / 2) @ X, Y, atol=1e-6)
    assert np.allclose(rotation_about(X, np.pi / 2) @ Y, Z, atol=1e-6)


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_cross_is_numpys(precision: type[np.floating]) -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 3)).astype(precision)
    assert np.array_equal(cross(first, second), np.cross(first, second))


@pytest.mark.parametrize("end", [spot(0.3, -0.5, 0.8), spot(-1, 0, 0), spot(1, 0, 0)])
def test_between_takes_one_direction_to_the_other(end: Floats) -> None:
    turn = rotation_between(X, end)
    assert is_rotation(turn)
    assert np.allclose(turn @ X, end / np.linalg.norm(end), atol=1e-5)


def test_frame_keeps_its_first_direction() -> None:
    axes = orthonormal_frame(spot(0, 2, 0), spot(1, 1, 0))
    assert np.allclose(axes, np.stack([Y, X, -Z], axis=1), atol=1e-6)


def test_twist_is_the_angle_about_the_axis() -> None:
    turn = rotation_about(Z, 0.8)
    assert twist_about(turn, Z) == pytest.approx(0.8, abs=1e-5)
    assert twist_about(rotation_about(X, 0.5) @ turn, X) == pytest.approx(0.5, abs=0.05)


def test_reach_keeps_bone_lengths_and_bends_towards_the_pole() -> None:
    start, goal = spot(0.1, 0.2, 1.0), spot(0.3, -0.1, 0.8)
    middle, end = two_bone_reach(start, goal, 0.3, 0.25, -Y)
    assert np.linalg.norm(middle - start) == pytest.approx(0.3, abs=1e-5)
    assert np.linalg.norm(end - middle) == pytest.approx(0.25, abs=1e-5)
    assert np.allclose(end, goal, atol=1e-5)
    assert middle[1] < (start[1] + goal[1]) / 2


def test_reach_brings_a_far_goal_within_reach() -> None:
    _, end = two_bone_reach(spot(0, 0, 0), spot(0, 0, 9), 0.3, 0.2, X)
    assert np.allclose(end, (0, 0, 0.5 * 0.999), atol=1e-5)
