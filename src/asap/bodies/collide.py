"""Do limbs run through each other? Hands, forearms, shins and feet against the rest of the body, by mesh queries."""

import numpy as np
import warp as wp

from asap.core.records import FloatArray, IntArray, PosedBody
from asap.core.vocabulary import region_id

TOLERANCE = 0.018
"""Metres: how deep a limb may sit in flesh (a hand that rests on a hip presses into it)."""
_LIMBS = {"L": ("arm.L", "hand.L"), "R": ("arm.R", "hand.R")}
_LEGS = {"L": ("leg.L", "foot.L"), "R": ("leg.R", "foot.R")}


@wp.kernel
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


def penetration(body: PosedBody) -> float:
    """Largest depth in metres of a lower arm, hand, shin or foot inside another part; 0 or less when nothing meets."""
    worst = 0.0
    for limbs, joint in ((_LIMBS, "lowerarm"), (_LEGS, "lowerleg")):
        for names in limbs.values():
            mine = np.isin(body.regions, [region_id(name) for name in names])
            probes = mine & _beyond(body, joint)
            others = body.faces[~mine[body.faces].any(axis=1)]
            worst = max(worst, _deepest(body.vertices, others, body.vertices[probes][::3]))
    return worst


def _beyond(body: PosedBody, joint: str) -> IntArray:
    dominant = body.bone_indices[np.arange(len(body.bone_indices)), body.bone_weights.argmax(axis=1)]
    upper = np.array([not label.startswith(("upperarm", "upperleg", joint + "01")) for label in body.bone_labels])
    return upper[dominant]


def _deepest(vertices: FloatArray, faces: IntArray, probes: FloatArray) -> float:
    near = ((vertices > probes.min(axis=0) - 0.05) & (vertices < probes.max(axis=0) + 0.05)).all(axis=1)
    faces = faces[near[faces].any(axis=1)]
    if len(faces) == 0:
        return 0.0
    mesh = wp.Mesh(
        points=wp.array(vertices, dtype=wp.vec3, device="cpu"),
        indices=wp.array(np.ascontiguousarray(faces).ravel(), dtype=wp.int32, device="cpu"),
        bvh_constructor="median",
    )
    out = wp.zeros(len(probes), dtype=float, device="cpu")
    points = wp.array(np.ascontiguousarray(probes), dtype=wp.vec3, device="cpu")
    wp.launch(_depths, dim=len(probes), inputs=[mesh.id, points, out], device="cpu")
    return float(out.numpy().max())
