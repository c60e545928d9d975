import numpy as np
import pytest

from asap.core.records import FloatArray
from asap.degrade.editable_body import axis_angle_between, ramp, rotate
from asap.degrade.mesh import Mesh, boundary_loops, cap, cap_all, cover, cut, relax


def tube(rings: int = 10, sides: int = 12) -> Mesh:
    """An open tube of radius 1 along z from 0 to ``rings - 1``, faces outwards."""
    turn = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    points = np.array([[np.cos(t), np.sin(t), z] for z in range(rings) for t in turn], dtype=np.float32)
    faces = []
    for ring in range(rings - 1):
        for n in range(sides):
            a, b = ring * sides + n, ring * sides + (n + 1) % sides
            faces += [[a, b, a + sides], [b, b + sides, a + sides]]
    count = len(points)
    return Mesh(
        vertices=points,
        faces=np.array(faces, dtype=np.int32),
        colours=np.full((count, 3), 0.5, dtype=np.float32),
        regions=np.zeros(count, dtype=np.uint8),
        bone_indices=np.zeros((count, 1), dtype=np.int32),
        bone_weights=np.ones((count, 1), dtype=np.float32),
    )


def volume(mesh: Mesh) -> float:
    """Signed volume: positive and exact where the mesh is closed and its faces look outwards."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(np.float64) for k in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


UP: FloatArray = np.array([0, 0, 1], dtype=np.float32)


def test_open_tube_has_two_rims() -> None:
    assert sorted(len(loop) for loop in boundary_loops(tube().faces)) == [12, 12]


def test_capped_tube_is_closed_and_faces_outwards() -> None:
    mesh = tube()
    for outward, rim in ((UP, 9.0), (-UP, 0.0)):
        for loop in boundary_loops(mesh.faces):
            if mesh.vertices[loop][0, 2] == rim:
                cap(mesh, loop, outward, 0.0)
    assert boundary_loops(mesh.faces) == []
    area = 0.5 * 12 * np.sin(2 * np.pi / 12)
    assert volume(mesh) == pytest.approx(9 * area, rel=1e-5)


def test_cut_closes_both_sides_and_loses_nothing_but_the_snapped_ring() -> None:
    mesh = tube()
    cap_all(mesh, np.zeros(3, dtype=np.float32), 0.0)
    before = volume(mesh)
    piece = cut(mesh, np.ones(len(mesh.vertices), dtype=bool), np.array([0, 0, 4.5], dtype=np.float32), UP, 0.0)
    assert boundary_loops(mesh.faces) == []
    assert boundary_loops(piece.faces) == []
    assert volume(mesh) == pytest.approx(before / 2, rel=1e-4)
    assert volume(piece) == pytest.approx(before / 2, rel=1e-4)


def test_dome_of_a_stump_adds_volume() -> None:
    flat, round_ = tube(), tube()
    for mesh, height in ((flat, 0.0), (round_, 1.0)):
        cut(mesh, np.ones(len(mesh.vertices), dtype=bool), np.array([0, 0, 4.5], dtype=np.float32), UP, height)
    assert volume(round_) > volume(flat) + 1


def test_cut_leaves_other_limbs_alone() -> None:
    mesh = tube()
    limb = np.zeros(len(mesh.vertices), dtype=bool)
    before = mesh.faces.copy()
    piece = cut(mesh, limb, np.zeros(3, dtype=np.float32), UP, 0.5)
    assert len(piece.faces) == 0
    np.testing.assert_array_equal(mesh.faces, before)


def test_cover_closes_a_hole_it_makes() -> None:
    mesh = tube()
    cap_all(mesh, np.zeros(3, dtype=np.float32), 0.0)
    chosen = np.linalg.norm(mesh.vertices - [1, 0, 4], axis=1) < 1.2
    cover(mesh, chosen, np.array([1, 0, 0], dtype=np.float32))
    assert boundary_loops(mesh.faces) == []


def test_relax_flattens_a_spike_and_keeps_the_rest() -> None:
    mesh = tube()
    spike = 5 * 12
    mesh.vertices[spike] *= [4, 4, 1]
    chosen = np.zeros(len(mesh.vertices), dtype=bool)
    chosen[spike] = True
    before = mesh.vertices.copy()
    relax(mesh, chosen)
    assert np.hypot(*mesh.vertices[spike, :2]) < 1.1
    np.testing.assert_allclose(mesh.vertices[~chosen], before[~chosen], atol=1e-6)


def test_rotate_quarter_turn_by_hand() -> None:
    points = np.array([[1, 0, 0], [2, 0, 5]], dtype=np.float32)
    turned = rotate(points, np.array([0, 0, 0], dtype=np.float32), UP, np.array([np.pi / 2, np.pi], dtype=np.float32))
    np.testing.assert_allclose(turned, [[0, 1, 0], [-2, 0, 5]], atol=1e-6)


def test_between_turns_one_direction_onto_the_other() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b, spare = rng.normal(size=(3, 3)).astype(np.float32)
        axis, angle = axis_angle_between(a, b, spare)
        turned = rotate(a[None], np.zeros(3, dtype=np.float32), axis, angle)[0]
        np.testing.assert_allclose(turned / np.linalg.norm(turned), b / np.linalg.norm(b), atol=1e-4)


def test_ramp_ends() -> None:
    np.testing.assert_allclose(ramp(np.array([-1, 0, 0.5, 1, 2], dtype=np.float32), 0.0, 1.0), [0, 0, 0.5, 1, 1])
