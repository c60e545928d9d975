"""Render a scene with ground truth: part-id map, depth and normals. Equal scenes give bit-identical results.

Every pixel has one sample at its centre. Pixels on an edge (of part, depth or normal) get four more, so the cost grows
with the outline and not with the area. The kernels run with warp on the CPU and on CUDA, without a display.

Legend: H = W = size in pixels, N samples, V vertices (body first, then props), F triangles.
"""

from dataclasses import dataclass

import numpy as np
import warp as wp

from asap.bodies import kernels
from asap.bodies.background import paint
from asap.bodies.rotations import cross, length
from asap.bodies.shadows import light_axes, shine
from asap.bodies.warp_runtime import start_warp
from asap.core.records import (
    Background,
    BoolArray,
    ByteArray,
    Camera,
    FloatArray,
    Floats,
    IntArray,
    Light,
    Rendering,
    Scene,
)
from asap.core.vocabulary import region_id

_FAR = 100.0
_CENTRE = np.zeros((1, 2), dtype=np.float32)
_OFFSETS = np.array([[-0.125, -0.375], [0.375, -0.125], [0.125, 0.375], [-0.375, 0.125]], dtype=np.float32)
_DEPTH_STEP = 0.02
_NORMAL_STEP = 0.75
_LIFT = 0.002
"""Distance in metres above the skin at which a shadow ray starts."""


@dataclass(frozen=True, kw_only=True)
class _Surfaces:
    """The visible surface at N samples; ``vertex`` is -1 and ``depth`` infinite on the background."""

    vertex: IntArray
    depth: FloatArray
    ray: FloatArray
    normal: FloatArray
    colour: FloatArray
    """Albedo, linear."""


class _DeviceScene:
    """The geometry of a scene on the device."""

    def __init__(self, scene: Scene, size: int, device: str) -> None:
        self.scene, self.size, self.device = scene, size, device
        self.vertices, faces, colours, self.regions = _gather(scene)
        self.eye, self.reach = np.asarray(scene.camera.eye, dtype=np.float32), float(np.tan(scene.camera.fov / 2.0))
        right, up, forward = camera_axes(scene.camera)
        self.lens = [wp.vec3(*self.eye), wp.mat33(*right, *-up, *forward)]
        self.view, self.spots = (wp.empty(len(self.vertices), dtype=wp.vec3, device=device) for _ in range(2))
        inputs = [self.vectors(self.vertices), *self.lens, size / (2.0 * self.reach)]
        wp.launch(kernels.place, dim=len(self.vertices), inputs=inputs, outputs=[self.view, self.spots], device=device)
        self.normals = self.vectors(vertex_normals(self.vertices, faces, device))
        self.colours = self.vectors(colours)
        faces = _in_view(self.view.numpy(), faces, self.reach)
        self.faces = wp.array(faces.ravel(), dtype=wp.int32, device=device, copy=False)

    def vectors(self, rows: Floats) -> "wp.array":
        """Rows (N, 3) as vectors of warp, on the CPU without a copy."""
        return wp.array(np.asarray(rows, dtype=np.float32), dtype=wp.vec3, device=self.device, copy=False)

    def visible(self, pixels: IntArray, offsets: FloatArray) -> _Surfaces:
        """The visible surface at ``offsets`` (S, 2) from the centres of ``pixels`` (P,), one pixel after the other."""
        count, device = len(pixels) * len(offsets), self.device
        slots = np.full(self.size**2, -1, dtype=np.int32)
        slots[pixels] = np.arange(len(pixels), dtype=np.int32)
        asked, known = (wp.array(rows, dtype=wp.int32, device=device, copy=False) for rows in (slots, pixels))
        places = wp.array(offsets, dtype=wp.vec2, device=device, copy=False)
        keys = wp.full(count, kernels.NOTHING, dtype=wp.int64, device=device)
        frame, spread = [self.size, self.reach], float(np.abs(offsets).max())
        inputs = [self.view, self.spots, self.faces, *frame, spread, places, asked, keys]
        wp.launch(kernels.cover, dim=len(self.faces) // 3, inputs=inputs, device=device)
        out = [wp.full(count, -1, dtype=wp.int32, device=device), wp.full(count, np.inf, dtype=float, device=device)]
        out += [wp.zeros(count, dtype=wp.vec3, device=device) for _ in range(3)]
        inputs = [keys, self.view, self.faces, self.normals, self.colours, *self.lens, *frame, places, known]
        wp.launch(kernels.surface, dim=count, inputs=inputs, outputs=out, device=device)
        vertex, depth, ray, normal, colour = (array.numpy() for array in out)
        return _Surfaces(vertex=vertex, depth=depth, ray=ray, normal=normal, colour=colour)

    def light(self, *parts: _Surfaces) -> list[FloatArray]:
        """Linear colour (N, 3) of the samples of each part, black on the background."""
        hits = [np.flatnonzero(part.vertex >= 0) for part in parts]
        ray, normal, colour, depth = (
            np.concatenate([np.take(getattr(part, name), seen, axis=0) for part, seen in zip(parts, hits, strict=True)])
            for name in ("ray", "normal", "colour", "depth")
        )
        lights = _light_samples(self.scene.light)
        origins = self.eye + ray * depth[:, None] + normal * _LIFT
        bright = shine(self.vertices, self.faces, lights, origins, normal)
        lit = self.vectors(colour)
        inputs = [self.vectors(ray), self.vectors(normal), lit, self.vectors(lights)]
        inputs += [wp.array(bright, dtype=wp.int32, device=self.device, copy=False)]
        inputs += [self.scene.light.intensity, self.scene.light.ambient]
        wp.launch(kernels.light, dim=len(colour), inputs=inputs, device=self.device)
        out = [np.zeros_like(part.colour) for part in parts]
        ends = np.cumsum([len(seen) for seen in hits])[:-1]
        for linear, seen, values in zip(out, hits, np.split(lit.numpy(), ends), strict=True):
            linear[seen] = values
        return out


def render(scene: Scene, size: int, *, device: str = "cpu") -> Rendering:
    """Render ``scene`` at ``size`` x ``size`` pixels; see ``Rendering`` for shapes and ranges.

    The result depends on the scene and the size only. Raises ``ValueError`` if ``size`` is not positive.
    """
    if size <= 0:
        raise ValueError(f"size must be positive, got {size}")
    start_warp()
    stage = _DeviceScene(scene, size, device)
    places = _pixel_grid(size)
    centres = stage.visible(np.arange(size * size, dtype=np.int32), _CENTRE)
    regions = np.append(stage.regions, region_id("background"))[centres.vertex].astype(np.uint8)
    edges = np.flatnonzero(_edges(regions, centres.depth, centres.normal, size)).astype(np.int32)
    around = stage.visible(edges, _OFFSETS)
    linear, corners = stage.light(centres, around)
    _fill(linear, centres.vertex < 0, scene.background, places / size)
    _fill(corners, around.vertex < 0, scene.background, (places[edges, None] + _OFFSETS).reshape(-1, 2) / size)
    total = corners.reshape(len(edges), len(_OFFSETS), 3).sum(axis=1) + linear[edges]
    linear[edges] = total / (len(_OFFSETS) + 1)
    return Rendering(
        image=_encode(linear).reshape(size, size, 3),
        regions=regions.reshape(size, size),
        depth=centres.depth.reshape(size, size),
        normals=centres.normal.reshape(size, size, 3),
        vertices_hit=centres.vertex.reshape(size, size),
    )


def _fill(linear: FloatArray, empty: BoolArray, background: Background, places: Floats) -> None:
    """Paint the background into ``linear`` (N, 3) at the ``places`` (N, 2) that are ``empty`` (N,)."""
    spots = np.flatnonzero(empty)
    linear[spots] = paint(background, places[spots])


def vertex_normals(vertices: FloatArray, faces: IntArray, device: str = "cpu") -> FloatArray:
    """Area-weighted unit normals (V, 3) of a mesh; 0 at vertices without a triangle."""
    points = wp.array(vertices, dtype=wp.vec3, device=device, copy=False)
    corners = wp.array(faces.ravel(), dtype=wp.int32, device=device, copy=False)
    sums = wp.zeros((len(vertices), 3), dtype=wp.int64, device=device)
    normals = wp.empty(len(vertices), dtype=wp.vec3, device=device)
    wp.launch(kernels.tilt, dim=len(faces), inputs=[points, corners, sums], device=device)
    wp.launch(kernels.smooth, dim=len(vertices), inputs=[sums, normals], device=device)
    return np.asarray(normals.numpy(), dtype=np.float32)


def project(camera: Camera, points: Floats, size: int) -> FloatArray:
    """Pixel x, pixel y and distance along the viewing axis (metres) of world ``points`` (N, 3), as (N, 3)."""
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
    offset = len(body.vertices)
    for prop in scene.props:
        vertices.append(prop.vertices)
        faces.append(prop.faces + offset)
        colours.append(prop.colours)
        regions.append(np.full(len(prop.vertices), region_id("object"), dtype=np.int32))
        offset += len(prop.vertices)
    return (
        np.concatenate(vertices).astype(np.float32, copy=False),
        np.concatenate(faces).astype(np.int32, copy=False),
        np.concatenate(colours).astype(np.float32, copy=False),
        np.concatenate(regions),
    )


def _in_view(view: FloatArray, faces: IntArray, reach: float) -> IntArray:
    """The triangles that can affect the image or a shadow in it: those in a frame of twice the width."""
    wide = view[:, 2] * np.float32(2.0 * reach)
    near = (np.abs(view[:, 0]) < wide) & (np.abs(view[:, 1]) < wide) & (view[:, 2] > 0.01)
    if near.all():
        return np.ascontiguousarray(faces)
    return np.ascontiguousarray(faces[near[faces[:, 0]] | near[faces[:, 1]] | near[faces[:, 2]]])


def _light_samples(light: Light) -> FloatArray:
    side, other, direction = light_axes(np.asarray(light.direction)).astype(np.float64)
    angles = np.arange(3) * 2.0 * np.pi / 3.0
    spread = np.tan(light.softness)
    samples = direction + spread * (np.cos(angles)[:, None] * side + np.sin(angles)[:, None] * other)
    return np.asarray(samples / np.linalg.norm(samples, axis=1, keepdims=True), dtype=np.float32)


def _pixel_grid(size: int) -> FloatArray:
    axis = np.arange(size, dtype=np.float32) + 0.5
    x, y = np.meshgrid(axis, axis)
    return np.stack([x.ravel(), y.ravel()], axis=1)


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


def _encode(linear: Floats) -> ByteArray:
    value = np.clip(linear, 0.0, 1.0)
    srgb = np.where(value <= 0.0031308, value * 12.92, 1.055 * np.power(value, 1 / 2.4) - 0.055)
    return np.round(srgb * 255.0).astype(np.uint8)
