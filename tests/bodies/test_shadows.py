import numpy as np
import pytest
import warp as wp

from asap.bodies.shadows import light_axes, shine
from asap.bodies.warp_runtime import start_warp
from asap.core.records import FloatArray, Floats

LIGHTS = np.array([(0.0, 0.6, 0.8), (0.28, 0.0, 0.96), (-0.6, 0.0, 0.8)], dtype=np.float32)
UP = np.array([0.0, 0.0, 1.0], dtype=np.float32)


def triangles(corners: FloatArray) -> "wp.array":
    start_warp()
    return wp.array(np.arange(len(corners), dtype=np.int32), dtype=wp.int32, device="cpu")


def free(corners: FloatArray, origin: Floats, light: Floats) -> bool:
    """Whether no triangle lies within five metres of ``origin`` towards ``light``, by solving for the point."""
    a, b, c = corners.astype(np.float64).reshape(-1, 3, 3).transpose(1, 0, 2)
    systems = np.stack([b - a, c - a, np.broadcast_to(-light, a.shape)], axis=2)
    u, v, t = np.linalg.solve(systems, (origin - a)[:, :, None])[:, :, 0].T
    return not ((u >= 0) & (v >= 0) & (u + v <= 1) & (t >= 0) & (t < 5)).any()


@pytest.mark.parametrize("seed", range(3))
def test_the_same_as_asking_every_triangle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = (rng.uniform((-2, -2, 0), (2, 2, 9), (90, 1, 3)) + rng.normal(0, 0.5, (90, 3, 3))).astype(np.float32)
    origins = rng.uniform((-2, -2, -0.5), (2, 2, 1), (300, 3)).astype(np.float32)
    found = shine(corners.reshape(-1, 3), triangles(corners.reshape(-1, 3)), LIGHTS, origins, np.tile(UP, (300, 1)))
    wanted = [[free(corners, origin, light) for origin in origins] for light in LIGHTS]
    assert found.tolist() == np.array(wanted).astype(int).tolist()
    assert 0.1 < found.mean() < 0.9


def test_skin_that_faces_away_is_dark() -> None:
    normals = np.stack([UP, -UP, UP])
    none = np.zeros((0, 3), dtype=np.float32)
    assert shine(none, triangles(none), LIGHTS, np.zeros((3, 3), np.float32), normals).tolist() == [[1, 0, 1]] * 3


def test_no_samples() -> None:
    corners = np.eye(3, dtype=np.float32)
    assert shine(corners, triangles(corners), LIGHTS, corners[:0], corners[:0]).shape == (3, 0)


@pytest.mark.parametrize("direction", [(0.0, 0.0, 2.0), (0.3, -0.5, 0.1), (-1.0, 0.0, 0.0)])
def test_light_axes_are_at_right_angles(direction: tuple[float, float, float]) -> None:
    axes = light_axes(np.array(direction))
    assert np.allclose(axes @ axes.T, np.eye(3), atol=1e-6)
    assert np.allclose(axes[2], np.array(direction) / np.linalg.norm(direction), atol=1e-6)
