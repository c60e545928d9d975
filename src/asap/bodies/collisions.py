"""Detect hands, forearms, shins and feet that penetrate the rest of the body, by mesh queries."""

from functools import lru_cache

import numpy as np
import warp as wp

from asap.bodies.rig import Rig
from asap.core.records import BoolArray, FloatArray, IntArray, PosedBody
from asap.core.vocabulary import region_id

TOLERANCE = 0.018
"""Largest depth in metres that is no collision: a hand that rests on a hip presses into it."""
_LIMBS = {"L": ("arm.L", "hand.L"), "R": ("arm.R", "hand.R")}
_LEGS = {"L": ("leg.L", "foot.L"), "R": ("leg.R", "foot.R")}


@wp.kernel  # type: ignore[untyped-decorator]
def _depths(
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    out: wp.array(dtype=float),  # type: ignore[valid-type]
) -> None:
    i = wp.tid()
    query = wp.mesh_query_point_sign_normal(mesh, points[i], 0.2)
    if query.result:
        near = wp.mesh_eval_position(mesh, query.face, query.u, query.v)
        out[i] = -query.sign * wp.length(points[i] - near)


def penetration(rig: Rig, body: PosedBody) -> float:
    """Largest depth in metres of a forearm, hand, shin or foot inside another part; 0 if nothing penetrates."""
    return max(0.0, *(_deepest(body.vertices, others, body.vertices[probes]) for probes, others in _limbs(rig)))


@lru_cache(maxsize=2)
def _limbs(rig: Rig) -> tuple[tuple[IntArray, IntArray], ...]:
    """For each limb its probes (vertex indices) and the triangles (F, 3) of everything else."""
    out = []
    for limbs, joint in ((_LIMBS, "lowerarm"), (_LEGS, "lowerleg")):
        beyond = _beyond(rig, joint)
        for names in limbs.values():
            mine = np.isin(rig.regions, [region_id(name) for name in names])
            probes = np.flatnonzero(mine & beyond)[::3].astype(np.int32)
            out.append((probes, rig.faces[~mine[rig.faces].any(axis=1)]))
    return tuple(out)


def _beyond(rig: Rig, joint: str) -> BoolArray:
    """(V,) False on the upper limb, whose joint with the trunk is no collision."""
    upper = ("upperarm", "upperleg", joint + "01")
    return np.array([not label.startswith(upper) for label in rig.labels])[rig.dominant]


def _deepest(vertices: FloatArray, faces: IntArray, probes: FloatArray) -> float:
    low, high = probes.min(axis=0) - 0.05, probes.max(axis=0) + 0.05
    near = np.ones(len(vertices), dtype=bool)
    for axis in range(3):
        near &= (vertices[:, axis] > low[axis]) & (vertices[:, axis] < high[axis])
    faces = faces[near[faces[:, 0]] | near[faces[:, 1]] | near[faces[:, 2]]]
    if len(faces) == 0:
        return 0.0
    mesh = wp.Mesh(
        points=wp.array(vertices, dtype=wp.vec3, device="cpu", copy=False),
        indices=wp.array(faces.ravel(), dtype=wp.int32, device="cpu", copy=False),
        bvh_constructor="median",
    )
    out = wp.zeros(len(probes), dtype=float, device="cpu")
    points = wp.array(probes, dtype=wp.vec3, device="cpu", copy=False)
    wp.launch(_depths, dim=len(probes), inputs=[mesh.id, points, out], device="cpu")
    return float(out.numpy().max())
