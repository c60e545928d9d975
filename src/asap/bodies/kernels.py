"""Warp kernels of the renderer: coverage of samples by triangles, visible surfaces, shadows and lighting.

A sample is a position in the image: the centre of a pixel, or one of several positions in a pixel on an edge. Triangles
search the samples in their bounding box, instead of rays that search triangles in a tree, because at these sizes a
triangle covers few samples or none. The signs that decide whether a sample is inside are opposite for the two triangles
of an edge, so no sample falls between them. The nearest triangle wins by an integer minimum, so the order of triangles
does not matter.

Legend: V vertices, F triangles, P pixels, S samples per pixel, N = P * S samples (those of a pixel are consecutive), R
shadow rays, L lights. View coordinates: metres right, down and ahead of the eye. Light coordinates: cells of a grid
across the light in both directions, and metres towards the light, from the start of the first ray.
"""

# warp compiles these functions itself; its stubs do not know the result of tid() or vectors of float64
# mypy: disable-error-code="arg-type, call-overload, index, operator"

import warp as wp

NOTHING = 2**63 - 1
"""The key of a sample that no triangle covers."""
_FACES = wp.constant(wp.int64(1 << 24))
_NANOMETRES = wp.constant(wp.float64(1e9))
_UNITS = wp.constant(wp.float64(1e17))
_FAR = wp.constant(wp.float64(100.0))
_ZERO = wp.constant(wp.float64(0.0))

wp.set_module_options({"enable_backward": False})


@wp.func  # type: ignore[untyped-decorator]
def _double(point: wp.vec3) -> wp.vec3d:
    return wp.vec3d(wp.float64(point[0]), wp.float64(point[1]), wp.float64(point[2]))


@wp.func  # type: ignore[untyped-decorator]
def _shares(a: wp.vec3d, b: wp.vec3d, c: wp.vec3d, ray: wp.vec3d) -> wp.vec3d:
    """Unnormalized barycentric weights of the point where ``ray`` from the origin meets the plane.

    Products of float32 numbers are exact in float64, so swapping two corners changes the sign and nothing else.
    """
    return wp.vec3d(wp.dot(wp.cross(b, c), ray), wp.dot(wp.cross(c, a), ray), wp.dot(wp.cross(a, b), ray))


@wp.func  # type: ignore[untyped-decorator]
def _turn(a: wp.vec3d, b: wp.vec3d) -> wp.float64:
    """The same weight for parallel rays along the third axis, where two corners are sufficient."""
    return a[0] * b[1] - a[1] * b[0]


@wp.func  # type: ignore[untyped-decorator]
def _inside(shares: wp.vec3d) -> wp.bool:
    low = wp.min(shares[0], wp.min(shares[1], shares[2]))
    high = wp.max(shares[0], wp.max(shares[1], shares[2]))
    return (low >= _ZERO and high > _ZERO) or (high <= _ZERO and low < _ZERO)


@wp.func  # type: ignore[untyped-decorator]
def _mean(shares: wp.vec3d, a: wp.float64, b: wp.float64, c: wp.float64) -> wp.float64:
    return (shares[0] * a + shares[1] * b + shares[2] * c) / (shares[0] + shares[1] + shares[2])


@wp.func  # type: ignore[untyped-decorator]
def _stops(a: wp.vec3, b: wp.vec3, c: wp.vec3, low: wp.vec3, high: wp.vec3, o: wp.vec3) -> wp.bool:
    """Whether a triangle with this bounding box is within five metres above ``o``."""
    if o[0] < low[0] or o[0] > high[0] or o[1] < low[1] or o[1] > high[1] or o[2] > high[2]:
        return False
    first, second, third = _double(a - o), _double(b - o), _double(c - o)
    shares = wp.vec3d(_turn(second, third), _turn(third, first), _turn(first, second))
    if not _inside(shares):
        return False
    far = _mean(shares, first[2], second[2], third[2])
    return far >= _ZERO and far < wp.float64(5.0)


@wp.func  # type: ignore[untyped-decorator]
def _ray(column: wp.int32, row: wp.int32, offset: wp.vec2, size: wp.int32, reach: float) -> wp.vec3d:
    """View coordinates of the ray to a sample, one metre ahead."""
    x = (float(column) + 0.5 + offset[0]) / float(size) * 2.0 - 1.0
    y = (float(row) + 0.5 + offset[1]) / float(size) * 2.0 - 1.0
    return wp.vec3d(wp.float64(x * reach), wp.float64(y * reach), wp.float64(1.0))


@wp.kernel  # type: ignore[untyped-decorator]
def tilt(
    vertices: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    faces: wp.array(dtype=wp.int32),  # type: ignore[valid-type]
    sums: wp.array2d(dtype=wp.int64),  # type: ignore[valid-type]
) -> None:
    """Add the normal of each triangle, with a length of twice its area, to the ``sums`` (V, 3) of its corners.

    Sums of integers do not depend on the order. One unit is 1e-17 square metres, so 90 square metres still fit.
    """
    face = wp.tid()
    a, b, c = faces[3 * face], faces[3 * face + 1], faces[3 * face + 2]
    normal = wp.cross(_double(vertices[b] - vertices[a]), _double(vertices[c] - vertices[a]))
    for axis in range(3):
        value = wp.int64(normal[axis] * _UNITS)
        wp.atomic_add(sums, a, axis, value)
        wp.atomic_add(sums, b, axis, value)
        wp.atomic_add(sums, c, axis, value)


@wp.kernel  # type: ignore[untyped-decorator]
def smooth(sums: wp.array2d(dtype=wp.int64), normals: wp.array(dtype=wp.vec3)) -> None:  # type: ignore[valid-type]
    """Unit vectors (V,) along the ``sums`` (V, 3) of ``tilt``; 0 where these are 0."""
    i = wp.tid()
    total = wp.vec3d(wp.float64(sums[i, 0]), wp.float64(sums[i, 1]), wp.float64(sums[i, 2]))
    unit = wp.normalize(total)
    normals[i] = wp.vec3(float(unit[0]), float(unit[1]), float(unit[2]))


@wp.kernel  # type: ignore[untyped-decorator]
def place(
    vertices: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    eye: wp.vec3,
    axes: wp.mat33,
    scale: float,
    view: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    spots: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
) -> None:
    """``vertices`` (V,) in view coordinates, and pixels right and down of the image centre with metres ahead."""
    i = wp.tid()
    at = axes * (vertices[i] - eye)
    view[i] = at
    spots[i] = wp.vec3(at[0] / at[2] * scale, at[1] / at[2] * scale, at[2])


@wp.kernel  # type: ignore[untyped-decorator]
def cover(
    view: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    spots: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    faces: wp.array(dtype=wp.int32),  # type: ignore[valid-type]
    size: wp.int32,
    reach: float,
    spread: float,
    offsets: wp.array(dtype=wp.vec2),  # type: ignore[valid-type]
    slots: wp.array(dtype=wp.int32),  # type: ignore[valid-type]
    keys: wp.array(dtype=wp.int64),  # type: ignore[valid-type]
) -> None:
    """For each triangle, lower the keys of the samples that it covers to its distance ahead (nanometres) and its index.

    Args:
        view: (V,) corners in view coordinates.
        spots: (V,) corners in the image, both from ``place``.
        faces: (3F,) vertex indices.
        size: pixels along each side.
        reach: half the width of the image one metre ahead.
        spread: the largest of ``offsets``.
        offsets: (S,) positions of the samples of a pixel relative to its centre, in pixels.
        slots: (size * size,) index of each pixel among the P requested pixels, -1 for others.
        keys: (N,).
    """
    face = wp.tid()
    i, j, k = faces[3 * face], faces[3 * face + 1], faces[3 * face + 2]
    low, high = wp.min(spots[i], wp.min(spots[j], spots[k])), wp.max(spots[i], wp.max(spots[j], spots[k]))
    left, right, top, bottom = 0, size - 1, 0, size - 1
    if low[2] > 0.001:
        middle, slack = 0.5 * float(size) - 0.5, spread + 0.001
        left = wp.max(left, int(wp.ceil(low[0] + middle - slack)))
        right = wp.min(right, int(wp.floor(high[0] + middle + slack)))
        top = wp.max(top, int(wp.ceil(low[1] + middle - slack)))
        bottom = wp.min(bottom, int(wp.floor(high[1] + middle + slack)))
    if left > right or top > bottom:
        return
    first, second, third = _double(view[i]), _double(view[j]), _double(view[k])
    for row in range(top, bottom + 1):
        for column in range(left, right + 1):
            slot = slots[row * size + column]
            if slot >= 0:
                for sample in range(offsets.shape[0]):
                    shares = _shares(first, second, third, _ray(column, row, offsets[sample], size, reach))
                    if _inside(shares):
                        ahead = _mean(shares, first[2], second[2], third[2])
                        if ahead > _ZERO and ahead < _FAR:
                            key = wp.int64(ahead * _NANOMETRES) * _FACES + wp.int64(face)
                            wp.atomic_min(keys, slot * offsets.shape[0] + sample, key)


@wp.kernel  # type: ignore[untyped-decorator]
def surface(
    keys: wp.array(dtype=wp.int64),  # type: ignore[valid-type]
    view: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    faces: wp.array(dtype=wp.int32),  # type: ignore[valid-type]
    normals: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    colours: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    eye: wp.vec3,
    axes: wp.mat33,
    size: wp.int32,
    reach: float,
    offsets: wp.array(dtype=wp.vec2),  # type: ignore[valid-type]
    pixels: wp.array(dtype=wp.int32),  # type: ignore[valid-type]
    out_vertex: wp.array(dtype=wp.int32),  # type: ignore[valid-type]
    out_depth: wp.array(dtype=float),  # type: ignore[valid-type]
    out_ray: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    out_normal: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    out_colour: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
) -> None:
    """For each covered sample, write the visible surface of the triangle in its key.

    ``keys`` (N,) come from ``cover``, as do ``view``, ``faces``, ``size``, ``reach`` and ``offsets``. ``normals`` and
    ``colours`` (V,) are unit vectors in the world and linear albedo. ``eye`` is the position of the camera in the
    world, the rows of ``axes`` are the axes of the view in the world, ``pixels`` (P,) are the requested pixels. Outputs
    (N,): ``out_vertex``, the corner with the largest weight; ``out_depth``, metres along the ray; ``out_ray``, unit
    vectors from the eye; ``out_normal``, unit vectors towards the side of the eye; ``out_colour``, albedo.
    """
    i = wp.tid()
    key = keys[i]
    count = offsets.shape[0]
    if key < wp.int64(NOTHING):
        face = int(key % _FACES)
        a, b, c = faces[3 * face], faces[3 * face + 1], faces[3 * face + 2]
        pixel = pixels[i // count]
        way = _ray(pixel % size, pixel // size, offsets[i % count], size, reach)
        shares = _shares(_double(view[a]), _double(view[b]), _double(view[c]), way)
        total = shares[0] + shares[1] + shares[2]
        u, v, w = float(shares[0] / total), float(shares[1] / total), float(shares[2] / total)
        ahead = u * view[a][2] + v * view[b][2] + w * view[c][2]
        long = wp.vec3(float(way[0]), float(way[1]), 1.0)
        ray = wp.transpose(axes) * wp.normalize(long)
        normal = wp.normalize(normals[a] * u + normals[b] * v + normals[c] * w)
        if wp.dot(normal, ray) > 0.0:
            normal = -normal
        nearest = a
        if v >= u and v >= w:
            nearest = b
        if w > u and w > v:
            nearest = c
        out_vertex[i] = nearest
        out_depth[i] = ahead * wp.length(long)
        out_ray[i] = ray
        out_normal[i] = normal
        out_colour[i] = colours[a] * u + colours[b] * v + colours[c] * w


@wp.kernel  # type: ignore[untyped-decorator]
def shadow(
    places: wp.array2d(dtype=wp.vec3),  # type: ignore[valid-type]
    faces: wp.array(dtype=wp.int32),  # type: ignore[valid-type]
    origins: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    starts: wp.array2d(dtype=wp.int32),  # type: ignore[valid-type]
    grid: wp.int32,
    dark: wp.array(dtype=wp.int32),  # type: ignore[valid-type]
) -> None:
    """For each triangle, mark the shadow rays that it blocks within five metres.

    Args:
        places: (V, L) corners in light coordinates.
        faces: (3F,) vertex indices.
        origins: (R,) starts of the rays in light coordinates, sorted by light and grid cell, row by row.
        starts: (L, grid * grid + 1) index of the first ray of each cell.
        grid: cells along each side.
        dark: (R,) set to 1 for blocked rays.
    """
    face = wp.tid()
    first, second, third = faces[3 * face], faces[3 * face + 1], faces[3 * face + 2]
    for k in range(starts.shape[0]):
        a, b, c = places[first, k], places[second, k], places[third, k]
        low, high = wp.min(a, wp.min(b, c)), wp.max(a, wp.max(b, c))
        if high[0] >= 0.0 and high[1] >= 0.0 and high[2] >= 0.0:
            left, right = int(wp.max(low[0], 0.0)), int(wp.min(high[0], float(grid - 1)))
            top, bottom = int(wp.max(low[1], 0.0)), int(wp.min(high[1], float(grid - 1)))
            if left <= right:
                for row in range(top, bottom + 1):
                    for i in range(starts[k, row * grid + left], starts[k, row * grid + right + 1]):
                        if _stops(a, b, c, low, high, origins[i]):
                            dark[i] = 1


@wp.kernel  # type: ignore[untyped-decorator]
def light(
    rays: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    normals: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    colours: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    lights: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    bright: wp.array2d(dtype=wp.int32),  # type: ignore[valid-type]
    key: float,
    ambient: float,
) -> None:
    """Multiply the albedo of each sample by its light: sky, headlight, and the key light unless it is in shadow.

    Args:
        rays: (N,) from ``surface``.
        normals: (N,) from ``surface``.
        colours: (N,) from ``surface``, changed in place.
        lights: (L,) unit vectors to the samples of the key light.
        bright: (L, N) 1 if a light reaches the sample.
        key: radiance of the key light.
        ambient: radiance of the sky.
    """
    i = wp.tid()
    ray, normal = rays[i], normals[i]
    lit = float(0.0)  # noqa: UP018 - literals are constants to warp
    for k in range(lights.shape[0]):
        if bright[k, i] == 1:
            half = wp.normalize(lights[k] - ray)
            lit += wp.dot(normal, lights[k]) + 0.15 * wp.pow(wp.max(wp.dot(normal, half), 0.0), 24.0)
    lit = lit / float(lights.shape[0])
    sky = 0.4 + 0.15 * normal[2] + 0.6 * wp.max(-wp.dot(normal, ray), 0.0)
    colours[i] = colours[i] * (ambient * sky + key * lit)
