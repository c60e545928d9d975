from dataclasses import replace

import numpy as np
import pytest

from asap.bodies.props import ball, box
from asap.bodies.render import camera_axes, project, render, vertex_normals
from asap.core.records import Camera, Floats, Light, PosedBody, Prop, Rendering
from asap.core.vocabulary import region_id
from tests.bodies.figures import FRONT, GREY, LIGHT, nobody, scene, spot

WHITE = spot(1, 1, 1)
SIZE = 64
FLAT = Light(direction=(0.0, -1.0, 0.0), intensity=0.0, ambient=0.5, softness=0.0)
RECORDS = ("image", "regions", "depth", "normals", "vertices_hit")


def block(x: float, y: float, z: float, half: tuple[float, float, float]) -> Prop:
    return box("box", spot(x, y, z), np.eye(3), half, WHITE)


@pytest.fixture(scope="module")
def front(body: PosedBody) -> Rendering:
    """The person in the rest pose, from the front."""
    return render(scene(body), 96)


def test_shapes_and_ranges(front: Rendering) -> None:
    assert {name: getattr(front, name).shape for name in RECORDS} == {
        "image": (96, 96, 3),
        "regions": (96, 96),
        "depth": (96, 96),
        "normals": (96, 96, 3),
        "vertices_hit": (96, 96),
    }
    assert front.image.dtype == np.uint8
    assert front.regions.dtype == np.uint8
    seen = front.vertices_hit >= 0
    assert 0.05 < seen.mean() < 0.5
    assert np.array_equal(seen, front.regions != region_id("background"))
    assert np.array_equal(seen, np.isfinite(front.depth))
    assert np.allclose(np.linalg.norm(front.normals[seen], axis=1), 1.0, atol=1e-4)
    assert not front.normals[~seen].any()


def test_the_same_scene_gives_the_same_bits(body: PosedBody, front: Rendering) -> None:
    again = render(scene(body), 96)
    assert all(np.array_equal(getattr(front, name), getattr(again, name)) for name in RECORDS)


def test_the_scene_is_left_as_it_was(body: PosedBody) -> None:
    before = {name: getattr(body, name).copy() for name in ("vertices", "faces", "colours", "regions")}
    render(scene(body), 16)
    assert all(np.array_equal(getattr(body, name), value) for name, value in before.items())


def test_parts_lie_where_they_are_seen(body: PosedBody, front: Rendering) -> None:
    assert np.array_equal(
        body.regions[front.vertices_hit[front.vertices_hit >= 0]], front.regions[front.vertices_hit >= 0]
    )
    row, column = (
        {p: np.nonzero(front.regions == region_id(p))[a].mean() for p in ("head", "torso", "hand.L", "hand.R")}
        for a in (0, 1)
    )
    assert row["head"] < row["torso"] < row["hand.L"] + 96
    assert column["hand.R"] < column["torso"] < column["hand.L"]


def test_depth_and_normal_of_a_wall(body: PosedBody) -> None:
    rendering = render(scene(nobody(body), block(0.0, 0.5, 0.0, (0.5, 0.5, 0.5))), SIZE)
    middle = SIZE // 2
    assert rendering.depth[middle, middle] == pytest.approx(5.0, abs=1e-3)
    assert np.allclose(rendering.normals[middle, middle], (0, -1, 0), atol=1e-5)
    assert rendering.regions[middle, middle] == region_id("object")
    assert rendering.vertices_hit[middle, middle] >= len(body.vertices)
    corner = rendering.regions[middle - 10, middle + 10]
    assert corner == region_id("object")
    assert rendering.depth[middle - 10, middle + 10] > 5.0


def test_the_nearer_thing_is_seen(body: PosedBody) -> None:
    near, far = block(0.0, -1.0, 0.0, (0.1, 0.1, 0.1)), block(0.0, 1.0, 0.0, (0.6, 0.1, 0.6))
    rendering = render(scene(nobody(body), far, near), SIZE)
    assert rendering.depth[SIZE // 2, SIZE // 2] == pytest.approx(3.9, abs=0.01)
    assert rendering.depth[SIZE // 2, SIZE // 2 + 12] > 5.5


def test_edges_are_smooth_and_faces_are_flat(body: PosedBody) -> None:
    camera = replace(FRONT, up=(0.2, 0.0, 1.0))
    rendering = render(scene(nobody(body), block(0, 0, 0, (0.6, 0.01, 0.6)), camera=camera, light=FLAT), SIZE)
    inside = rendering.regions == region_id("object")
    sure = inside.copy()
    for axis in (0, 1):
        for step in (-1, 1):
            sure &= np.roll(inside, step, axis=axis)
    value = rendering.image[..., 0].astype(int)
    flat, behind = int(np.median(value[sure])), int(value[0, 0])
    assert np.abs(value[sure] - flat).max() <= 3
    border = inside & ~sure
    between = (value[border] > behind + 5) & (value[border] < flat - 5)
    assert 0.3 < between.mean() <= 1.0


def test_an_edge_pixel_holds_the_covered_share(body: PosedBody) -> None:
    """The wall ends at a quarter of a pixel beyond the centre of column 40, where one in five samples misses it."""
    end = (40.75 / SIZE * 2 - 1) * 5.0 * np.tan(FRONT.fov / 2)
    wall = block(float(end) - 0.3, 0.005, 0.0, (0.3, 0.005, 0.4))
    rendering = render(scene(nobody(body), wall, light=FLAT), SIZE)
    levels = rendering.image[SIZE // 2, :, 0] / 255.0
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    full, empty = linear[39], linear[45]
    assert (linear[40] - empty) / (full - empty) == pytest.approx(0.8, abs=0.03)
    assert linear[41] == pytest.approx(empty, abs=0.01)


def test_an_occluder_throws_a_shadow(body: PosedBody) -> None:
    light = Light(direction=(0.0, -0.3, 1.0), intensity=0.8, ambient=0.3, softness=0.02)
    camera = Camera(eye=(0.0, -5.0, 3.0), target=(0.0, 0.0, 0.0), up=(0.0, 0.0, 1.0), fov=0.5)
    floor = block(0, 0, -0.1, (1.0, 1.0, 0.1))
    lid = block(0, -0.2, 0.6, (0.25, 0.25, 0.02))
    lit = render(scene(nobody(body), floor, camera=camera, light=light), SIZE)
    shaded = render(scene(nobody(body), floor, lid, camera=camera, light=light), SIZE)
    x, y, _ = project(camera, spot(0, 0, 0)[None], SIZE)[0].astype(int)
    assert shaded.depth[y, x] == pytest.approx(lit.depth[y, x], abs=1e-3)
    assert int(shaded.image[y, x, 0]) < int(lit.image[y, x, 0]) - 30
    assert int(lit.image[SIZE // 2, 4, 0]) == int(shaded.image[SIZE // 2, 4, 0])


def test_a_projected_point_is_the_pixel_where_it_is_seen(body: PosedBody) -> None:
    for place in (spot(0, 0, 0), spot(0.7, 0.3, 0.7), spot(-0.9, -0.5, -0.7)):
        x, y, ahead = project(FRONT, place[None], SIZE)[0]
        dot = ball("ball", place, 0.03, WHITE)
        rows, columns = np.nonzero(render(scene(nobody(body), dot), SIZE).regions)
        assert len(rows) >= 1
        assert columns.mean() + 0.5 == pytest.approx(float(x), abs=0.6)
        assert rows.mean() + 0.5 == pytest.approx(float(y), abs=0.6)
        assert float(ahead) == pytest.approx(float(place[1]) + 5.0, abs=1e-5)


def test_vertices_hit_are_under_their_pixels(body: PosedBody, front: Rendering) -> None:
    rows, columns = np.nonzero(front.vertices_hit >= 0)
    places = project(FRONT, body.vertices[front.vertices_hit[rows, columns]], 96)
    off = np.hypot(places[:, 0] - columns - 0.5, places[:, 1] - rows - 0.5)
    assert np.quantile(off, 0.9) < 1.5
    assert np.median(np.abs(places[:, 2] - front.depth[rows, columns])) < 0.05


def test_camera_axes_are_a_right_handed_frame() -> None:
    right, up, forward = camera_axes(FRONT)
    assert np.allclose(right, (1, 0, 0), atol=1e-6)
    assert np.allclose(up, (0, 0, 1), atol=1e-6)
    assert np.allclose(forward, (0, 1, 0), atol=1e-6)


@pytest.mark.parametrize("target", [(0.0, -10.0, 0.0), (50.0, -5.0, 0.0)])
def test_an_empty_view_is_the_background(body: PosedBody, target: tuple[float, float, float]) -> None:
    rendering = render(scene(body, camera=replace(FRONT, target=target)), 16)
    assert not rendering.regions.any()
    assert (rendering.vertices_hit == -1).all()
    assert np.isinf(rendering.depth).all()
    assert len(np.unique(rendering.image)) == 1
    assert rendering.image[0, 0, 0] == round(255 * (1.055 * GREY.colours[0][0] ** (1 / 2.4) - 0.055))


def test_a_brighter_light_makes_a_brighter_image(body: PosedBody, front: Rendering) -> None:
    seen = front.regions > 0
    dim = render(scene(body, light=replace(LIGHT, intensity=0.2)), 96)
    assert float(dim.image[seen].mean()) < float(front.image[seen].mean()) - 10
    assert np.array_equal(dim.regions, front.regions)


@pytest.mark.parametrize("size", [0, -3])
def test_a_size_must_be_positive(body: PosedBody, size: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        render(scene(body), size)


def test_normals_point_outwards(body: PosedBody) -> None:
    normals = vertex_normals(body.vertices, body.faces)
    chest = (body.regions == region_id("torso")) & (np.abs(body.vertices[:, 0]) < 0.03)
    front = chest & (body.vertices[:, 1] < np.quantile(body.vertices[chest, 1], 0.2))
    assert normals[front, 1].mean() < -0.7
    assert np.allclose(np.linalg.norm(normals[front], axis=1), 1.0, atol=1e-5)


def test_the_normal_of_a_corner_is_weighted_by_area() -> None:
    vertices = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 3), (9, 9, 9)], dtype=np.float32)
    faces = np.array([(0, 1, 2), (0, 2, 3)], dtype=np.int32)
    normals = vertex_normals(vertices, faces)
    assert np.allclose(normals[0], np.array([3, 0, 1]) / np.sqrt(10), atol=1e-6)
    assert np.allclose(normals[1], (0, 0, 1))
    assert not normals[4].any()


def soup(seed: int, count: int = 60) -> Prop:
    """Triangles before the camera, some partly out of the image, and one from its middle to behind the eye."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform((-1, -3, -1), (1, 3, 1), size=(count, 1, 3)) + rng.normal(0, 0.3, size=(count, 3, 3))
    corners[0] = (0, 0, 0.1), (4, -7, -1), (-4, -7, -1)
    faces = np.arange(3 * count, dtype=np.int32).reshape(-1, 3)
    shades = np.ones((3 * count, 3), dtype=np.float32)
    return Prop(name="soup", vertices=corners.reshape(-1, 3).astype(np.float32), faces=faces, colours=shades)


def nearest(prop: Prop, ray: Floats) -> tuple[float, int]:
    """Distance and number of the first triangle on ``ray`` from the eye, by solving for the point; else inf and -1."""
    a, b, c = (prop.vertices[prop.faces[:, k]].astype(np.float64) for k in range(3))
    systems = np.stack([b - a, c - a, np.broadcast_to(-ray, a.shape)], axis=2)
    u, v, t = np.linalg.solve(systems, (np.asarray(FRONT.eye) - a)[:, :, None])[:, :, 0].T
    hits = np.flatnonzero((u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0))
    return (float(t[hits].min()), int(hits[t[hits].argmin()])) if len(hits) else (np.inf, -1)


@pytest.mark.parametrize("seed", range(4))
def test_each_pixel_shows_the_first_triangle_on_its_ray(body: PosedBody, seed: int) -> None:
    size, prop = 24, soup(seed)
    rendering = render(scene(nobody(body), prop), size)
    right, up, forward = camera_axes(FRONT)
    reach = np.tan(FRONT.fov / 2)
    for row, column in np.ndindex(size, size):
        x, y = ((place + 0.5) / size * 2 - 1 for place in (column, row))
        ray = forward + reach * (x * right - y * up)
        depth, face = nearest(prop, ray / np.linalg.norm(ray))
        assert rendering.depth[row, column] == pytest.approx(depth, rel=1e-5)
        assert (rendering.vertices_hit[row, column] - len(body.vertices)) // 3 == face or face == -1


def test_the_order_of_triangles_does_not_matter(body: PosedBody, front: Rendering) -> None:
    faces = np.random.default_rng(0).permutation(body.faces)
    again = render(scene(replace(body, faces=faces)), 96)
    assert all(np.array_equal(getattr(front, name), getattr(again, name)) for name in RECORDS)


def test_no_ray_slips_between_two_triangles(body: PosedBody) -> None:
    """A wall of triangles whose edges run through the centres of pixels, seen by every one of them."""
    size = 32
    step = 2 * 5.0 * np.tan(FRONT.fov / 2) / size
    x, z = np.meshgrid(step * (np.arange(size + 3) - size / 2 - 0.5), step * (np.arange(size + 3) - size / 2 - 0.5))
    corners = np.stack([x, np.zeros_like(x), z], axis=-1).reshape(-1, 3).astype(np.float32)
    at = np.arange((size + 2) * (size + 3)).reshape(size + 2, size + 3)[:, :-1].ravel()
    faces = np.concatenate([np.stack([at, at + 1, at + size + 4], 1), np.stack([at, at + size + 4, at + size + 3], 1)])
    wall = Prop(name="wall", vertices=corners, faces=faces.astype(np.int32), colours=np.ones_like(corners))
    rendering = render(scene(nobody(body), wall), size)
    assert (rendering.vertices_hit >= 0).all()
    assert np.allclose(rendering.normals, (0, -1, 0), atol=1e-6)
