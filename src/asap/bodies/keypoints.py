"""2D keypoints with visibility in COCO-WholeBody order (133 points), from the joints and the skin of the rig.

Body, foot and hand points are joints of the rig. The 68 face points are vertices of its skin.
"""

from typing import Final

import numpy as np

from asap.bodies.render import project
from asap.core.records import Camera, FloatArray, PosedBody, Rendering
from asap.core.vocabulary import region_id
from asap.core.wholebody import FINGERS, KEYPOINTS

_BONE = {
    "eye": "eye",
    "shoulder": "upperarm01",
    "elbow": "lowerarm01",
    "wrist": "wrist",
    "hip": "upperleg01",
    "knee": "lowerleg01",
    "ankle": "foot",
}
_SIDES = {"left": "L", "right": "R"}
_TOLERANCE = {"face": 0.012, "hand": 0.022, "body": 0.09}
_BODY_VERTICES: Final = 13718
"""Number of vertices of the body model (Anny 0.6). Edited bodies keep these indices and append new vertices."""
# fmt: off
_FACE_VERTICES: Final = (
    5723, 5522, 270, 736, 894, 892, 995, 993, 732, 7671, 7673, 7578, 7580, 7440, 7023, 12105, 12304,
    255, 231, 229, 230, 233, 6990, 6987, 6986, 6988, 7008,
    133, 131, 164, 5118, 5079, 295, 297, 7046, 11678,
    1114, 2, 56, 67, 4846, 4844, 6835, 6824, 6770, 7790, 11446, 11448,
    407, 5338, 355, 362, 7100, 11924, 7151, 7242, 7293, 574, 568, 510,
    415, 506, 509, 7239, 7159, 7260, 537, 531,
)
# fmt: on
"""Vertex of each of the 68 face points, read off the rendered template body; tests check them.

The order is that of COCO-WholeBody (iBUG 300-W): jaw from the person's right ear to the left (0-16), right and left
eyebrow (17-26), bridge and base of the nose (27-35), right and left eye (36-47), outer and inner lips (48-67).
"""


def keypoints(body: PosedBody, camera: Camera, rendering: Rendering) -> FloatArray:
    """(133, 3): x and y in pixels, and 0 absent or outside the image, 1 hidden, 2 visible."""
    size = rendering.image.shape[0]
    places = _places(body)
    names = KEYPOINTS
    shown = np.unique(body.regions[body.faces.ravel()])
    out = np.zeros((len(names), 3), dtype=np.float32)
    known = [(i, places[name][0], places[name][1]) for i, name in enumerate(names) if name in places]
    known = [item for item in known if item[2] in shown]
    if not known:
        return out
    points = np.stack([point for _, point, _ in known])
    pixels = project(camera, points, size)
    distance = np.linalg.norm(points - np.asarray(camera.eye), axis=1)
    for (index, _, region), (x, y, ahead), far in zip(known, pixels, distance, strict=True):
        if ahead <= 0 or not (0 <= x < size and 0 <= y < size):
            continue
        slack = _depth_tolerance(KEYPOINTS[index], region)
        seen = rendering.depth[int(y), int(x)] > far - slack and np.isfinite(rendering.depth[int(y), int(x)])
        out[index] = (x, y, 2.0 if seen else 1.0)
    return out


def _depth_tolerance(name: str, region: int) -> float:
    """Largest depth in metres of a visible point behind the surface: joints lie inside the body, skin points do not."""
    if name.startswith("face-"):
        return _TOLERANCE["face"]
    return _TOLERANCE["hand" if region in (region_id("hand.L"), region_id("hand.R")) else "body"]


def _places(body: PosedBody) -> dict[str, tuple[FloatArray, int]]:
    index = {label: i for i, label in enumerate(body.bone_labels)}
    heads, tails = body.bone_poses[:, :3, 3], body.bone_tails
    regions = {
        "eye": "head",
        "shoulder": "arm",
        "elbow": "arm",
        "wrist": "hand",
        "hip": "leg",
        "knee": "leg",
        "ankle": "foot",
    }
    skull = np.flatnonzero(body.regions == region_id("head"))
    turn = body.bone_poses[index["head"], :3, :3]
    local = (body.vertices[skull] - heads[index["head"]]) @ turn
    out = {"nose": (body.vertices[skull[local[:, 1].argmin()]], region_id("head"))}
    for side, letter in _SIDES.items():
        ear = local[:, 0].argmax() if letter == "L" else local[:, 0].argmin()
        out[f"{side}_ear"] = (body.vertices[skull[ear]], region_id("head"))
        for name, bone in _BONE.items():
            region = regions[name] if name == "eye" else f"{regions[name]}.{letter}"
            out[f"{side}_{name}"] = (heads[index[f"{bone}.{letter}"]], region_id(region))
        foot, hand = region_id(f"foot.{letter}"), region_id(f"hand.{letter}")
        sole = np.flatnonzero(body.regions == foot)
        toe = tails[index[f"toe1-2.{letter}"]]
        out[f"{side}_big_toe"] = (toe, foot)
        out[f"{side}_small_toe"] = (tails[index[f"toe5-3.{letter}"]], foot)
        out[f"{side}_heel"] = (body.vertices[sole[np.linalg.norm(body.vertices[sole] - toe, axis=1).argmax()]], foot)
        out[f"{side}_hand_root"] = (heads[index[f"wrist.{letter}"]], hand)
        for number, finger in enumerate(FINGERS, start=1):
            bones = [index[f"finger{number}-{joint}.{letter}"] for joint in (1, 2, 3)]
            for joint, point in enumerate([*heads[bones], tails[bones[2]]], start=1):
                out[f"{side}_{finger}{joint}"] = (point, hand)
    return out | _face(body)


def _face(body: PosedBody) -> dict[str, tuple[FloatArray, int]]:
    """The points of the face, if the body has the vertices of the body model; else none."""
    if len(body.vertices) < _BODY_VERTICES:
        return {}
    head = region_id("head")
    return {f"face-{number}": (body.vertices[vertex], head) for number, vertex in enumerate(_FACE_VERTICES)}
