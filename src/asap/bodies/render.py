"""Ray casting with warp: picture, part-id map, depth and normals of a scene, the same bits for the same scene.

Every pixel gets one ray through its centre; pixels on an edge (part, depth or normal changes) get four more, so that
the cost is that of the outline and not of the picture. Runs on the CPU and on CUDA, with no display.

Legend: H = W = size in pixels, N rays, V vertices (body first, then props), F triangles.
"""

import numpy as np
import warp as wp

from asap.bodies.background import paint
from asap.bodies.device import start
from asap.bodies.rig import vertex_normals
from asap.bodies.turns import Floats, cross, length
from asap.core.records import BoolArray, ByteArray, Camera, FloatArray, IntArray, Light, Rendering, Scene
from asap.core.vocabulary import region_id

_FAR = 100.0
_OFFSETS = np.array([[-0.125, -0.375], [0.375, -0.125], [0.125, 0.375], [-0.375, 0.125]], dtype=np.float32)
_DEPTH_STEP = 0.02
_NORMAL_STEP = 0.75


if hasattr(wp, "mesh_query_ray_anyhit"):

    @wp.func  # type: ignore[untyped-decorator]
    def _in_shadow(mesh: wp.uint64, point: wp.vec3, light: wp.vec3) -> wp.bool:
        return wp.mesh_query_ray_anyhit(mesh, point, light, 5.0)

else:  # older releases look for the nearest hit, which takes longer and says the same

    @wp.func  # type: ignore[untyped-decorator]
    def _in_shadow(mesh: wp.uint64, point: wp.vec3, light: wp.vec3) -> wp.bool:
        query = wp.mesh_query_ray(mesh, point, light, 5.0)
        return query.result


@wp.kernel  # type: ignore[untyped-decorator]
def _trace(
    mesh: wp.uint64,
    faces: wp.array(dtype=wp.int32),  # type: ignore[valid-type]
    normals: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    colours: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    eye: wp.vec3,
    rays: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    lights: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    key: float,
    ambient: float,
    out_colour: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    out_vertex: wp.array(dtype=wp.int32),  # type: ignore[valid-type]
    out_depth: wp.array(dtype=float),  # type: ignore[valid-type]
    out_normal: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
) -> None:
    i = wp.tid()
    ray = rays[i]
    query = wp.mesh_query_ray(mesh, eye, ray, 100.0)
    out_vertex[i] = -1
    if query.result:
        a = faces[query.face * 3]
        b = faces[query.face * 3 + 1]
        c = faces[query.face * 3 + 2]
        u = query.u
        v = query.v
        w = 1.0 - u - v
        normal = wp.normalize(normals[a] * u + normals[b] * v + normals[c] * w)
        if wp.dot(normal, ray) > 0.0:
            normal = -normal
        colour = colours[a] * u + colours[b] * v + colours[c] * w
        point = eye + ray * query.t
        lit = float(0.0)  # noqa: UP018 - a literal would be a compile-time constant to warp
        count = lights.shape[0]
        for k in range(count):
            light = lights[k]
            facing = wp.dot(normal, light)
            if facing > 0.0:
                if not _in_shadow(mesh, point + normal * 0.002, light):
                    half = wp.normalize(light - ray)
                    shine = wp.pow(wp.max(wp.dot(normal, half), 0.0), 24.0)
                    lit += facing + 0.15 * shine
        lit = lit / float(count)
        sky = 0.4 + 0.15 * normal[2] + 0.6 * wp.max(-wp.dot(normal, ray), 0.0)
        out_colour[i] = colour * (ambient * sky + key * lit)
        nearest = a
        if v >= u and v >= w:
            nearest = b
        if w > u and w > v:
            nearest = c
        out_vertex[i] = nearest
        out_depth[i] = query.t
        out_normal[i] = normal


class _Hits:
    """Arrays that one launch fills, N rays."""

    def __init__(self, count: int, device: str) -> None:
        self.colour = wp.zeros(count, dtype=wp.vec3, device=device)
        self.vertex = wp.zeros(count, dtype=wp.int32, device=device)
        self.depth = wp.full(count, np.inf, dtype=float, device=device)
        self.normal = wp.zeros(count, dtype=wp.vec3, device=device)


class _Tracer:
    """A scene's geometry on the device, ready for rays."""

    def __init__(self, scene: Scene, device: str) -> None:
        vertices, faces, colours, regions = _gather(scene)
        self.regions, self.device, self.scene = regions, device, scene
        normals = vertex_normals(vertices, faces)
        faces = _in_view(scene.camera, vertices, faces)
        self.empty = len(faces) == 0
        if self.empty:
            return
        self.faces = wp.array(faces.ravel(), dtype=wp.int32, device=device, copy=False)
        self.normals = self._vectors(normals)
        self.colours = self._vectors(colours)
        self.mesh = wp.Mesh(points=self._vectors(vertices), indices=self.faces)
        self.lights = self._vectors(_light_samples(scene.light))

    def _vectors(self, rows: FloatArray) -> "wp.array":
        """Rows (N, 3) as warp's vectors, on the CPU without a copy."""
        return wp.array(rows, dtype=wp.vec3, device=self.device, copy=False)

    def __call__(self, rays: FloatArray) -> tuple[FloatArray, IntArray, FloatArray, FloatArray]:
        hits = _Hits(len(rays), self.device)
        if self.empty:
            return hits.colour.numpy(), hits.vertex.numpy() - 1, hits.depth.numpy(), hits.normal.numpy()
        light = self.scene.light
        wp.launch(
            _trace,
            dim=len(rays),
            inputs=[
                self.mesh.id,
                self.faces,
                self.normals,
                self.colours,
                wp.vec3(*self.scene.camera.eye),
                self._vectors(rays),
                self.lights,
                light.intensity,
                light.ambient,
            ],
            outputs=[hits.colour, hits.vertex, hits.depth, hits.normal],
            device=self.device,
        )
        return hits.colour.numpy(), hits.vertex.numpy(), hits.depth.numpy(), hits.normal.numpy()


def render(scene: Scene, size: int, *, device: str = "cpu") -> Rendering:
    """Render ``scene`` at ``size`` x ``size`` pixels; see ``Rendering`` for shapes and ranges.

    The result depends on the scene and the size alone. Raises ``ValueError`` when ``size`` is not positive.
    """
    if size <= 0:
        raise ValueError(f"size must be positive, got {size}")
    start()
    tracer = _Tracer(scene, device)
    centres = _pixel_grid(size)
    colour, vertex, depth, normal = tracer(_rays(scene.camera, centres[None, :size, 0], centres[::size, None, 1], size))
    behind = paint(scene.background, centres / size)
    regions = np.append(tracer.regions, region_id("background"))[vertex].astype(np.uint8)
    linear = np.where((vertex >= 0)[:, None], colour, behind)
    edges = np.flatnonzero(_edges(regions, depth, normal, size))
    if len(edges):
        linear[edges] = _supersample(tracer, scene, centres[edges], size, linear[edges])
    shape = (size, size)
    return Rendering(
        image=_encode(linear).reshape(size, size, 3),
        regions=regions.reshape(shape),
        depth=depth.reshape(shape),
        normals=normal.reshape(size, size, 3),
        vertices_hit=vertex.reshape(shape),
    )


def project(camera: Camera, points: Floats, size: int) -> FloatArray:
    """Pixel x, pixel y and distance along the view axis (metres) of world ``points`` (N, 3), as (N, 3)."""
    right, up, forward = camera_axes(camera)
    offset = points - np.asarray(camera.eye, dtype=np.float32)
    depth = offset @ forward
    scale = size / (2.0 * np.tan(camera.fov / 2.0))
    safe = np.where(np.abs(depth) < 1e-6, 1e-6, depth)
    x = size / 2.0 + scale * (offset @ right) / safe
    y = size / 2.0 - scale * (offset @ up) / safe
    return np.stack([x, y, depth], axis=1).astype(np.float32)


def camera_axes(camera: Camera) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Unit right, up and forward vectors of ``camera``."""
    forward = np.asarray(camera.target, dtype=np.float64) - np.asarray(camera.eye)
    forward /= length(forward)
    right = cross(forward, np.asarray(camera.up, dtype=np.float64))
    right /= length(right)
    up = cross(right, forward)
    return right.astype(np.float32), up.astype(np.float32), forward.astype(np.float32)


def _gather(scene: Scene) -> tuple[FloatArray, IntArray, FloatArray, IntArray]:
    body = scene.body
    vertices, faces, colours = [body.vertices], [body.faces], [body.colours]
    regions = [body.regions.astype(np.int32)]
    start = len(body.vertices)
    for prop in scene.props:
        vertices.append(prop.vertices)
        faces.append(prop.faces + start)
        colours.append(prop.colours)
        regions.append(np.full(len(prop.vertices), region_id("object"), dtype=np.int32))
        start += len(prop.vertices)
    return (
        np.concatenate(vertices).astype(np.float32),
        np.concatenate(faces).astype(np.int32),
        np.concatenate(colours).astype(np.float32),
        np.concatenate(regions),
    )


def _in_view(camera: Camera, vertices: FloatArray, faces: IntArray) -> IntArray:
    """The triangles that can matter to the picture or to a shadow in it: those in a frame twice as wide."""
    places = project(camera, vertices, 1)
    near = (np.abs(places[:, 0] - 0.5) < 1.0) & (np.abs(places[:, 1] - 0.5) < 1.0) & (places[:, 2] > 0.01)
    return np.ascontiguousarray(faces[near[faces[:, 0]] | near[faces[:, 1]] | near[faces[:, 2]]])


def _light_samples(light: Light) -> FloatArray:
    direction = np.asarray(light.direction, dtype=np.float64)
    direction /= length(direction)
    side = cross(direction, np.array((0.0, 0.0, 1.0) if abs(direction[2]) < 0.9 else (1.0, 0.0, 0.0)))
    side /= length(side)
    other = cross(direction, side)
    angles = np.arange(3) * 2.0 * np.pi / 3.0
    spread = np.tan(light.softness)
    samples = direction + spread * (np.cos(angles)[:, None] * side + np.sin(angles)[:, None] * other)
    return np.asarray(samples / np.linalg.norm(samples, axis=1, keepdims=True), dtype=np.float32)


def _pixel_grid(size: int) -> FloatArray:
    axis = np.arange(size, dtype=np.float32) + 0.5
    x, y = np.meshgrid(axis, axis)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _rays(camera: Camera, x: FloatArray, y: FloatArray, size: int) -> FloatArray:
    """Unit rays (N, 3) through the pixels ``x`` and ``y``, which broadcast against each other to N places."""
    reach = np.tan(camera.fov / 2.0)
    across, down = (x / size * 2.0 - 1.0) * reach, (y / size * 2.0 - 1.0) * reach
    parts = [f + across * r - down * u for r, u, f in zip(*camera_axes(camera), strict=True)]
    far = np.sqrt(parts[0] * parts[0] + parts[1] * parts[1] + parts[2] * parts[2])
    return np.stack([part / far for part in parts], axis=-1).reshape(-1, 3).astype(np.float32)


def _edges(regions: ByteArray, depth: FloatArray, normal: FloatArray, size: int) -> BoolArray:
    r, d = regions.reshape(size, size), np.minimum(depth, np.float32(_FAR)).reshape(size, size)
    n = np.ascontiguousarray(normal.T).reshape(3, size, size)
    out = np.zeros((size, size), dtype=bool)
    pairs = (slice(0, -1), slice(None)), (slice(1, None), slice(None))
    for a, b in (pairs, (pairs[0][::-1], pairs[1][::-1])):
        jump = (r[a] != r[b]) | (np.abs(d[a] - d[b]) > _DEPTH_STEP)
        cosine = n[0][a] * n[0][b] + n[1][a] * n[1][b] + n[2][a] * n[2][b]
        jump |= (cosine < _NORMAL_STEP) & ((r[a] | r[b]) > 0)
        out[a] |= jump
        out[b] |= jump
    return out.ravel()


def _supersample(tracer: _Tracer, scene: Scene, pixels: FloatArray, size: int, centre: Floats) -> Floats:
    spots = (pixels[:, None] + _OFFSETS).reshape(-1, 2)
    colour, vertex, _, _ = tracer(_rays(scene.camera, spots[:, 0], spots[:, 1], size))
    linear = np.where((vertex >= 0)[:, None], colour, paint(scene.background, spots / size))
    total = linear.reshape(len(pixels), len(_OFFSETS), 3).sum(axis=1) + centre
    return np.asarray(total / (len(_OFFSETS) + 1))


def _encode(linear: Floats) -> ByteArray:
    value = np.clip(linear, 0.0, 1.0)
    srgb = np.where(value <= 0.0031308, value * 12.92, 1.055 * np.power(value, 1 / 2.4) - 0.055)
    return np.round(srgb * 255.0).astype(np.uint8)
