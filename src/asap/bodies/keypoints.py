"""2D keypoints with visibility in COCO-WholeBody order (133 points), from the rig's own joints and skin.

Body, foot and hand points are joints of the rig, the 68 face points are vertices of its skin.
"""

import numpy as np

from asap.bodies.face import FACE_VERTICES, VERTICES
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


def keypoints(body: PosedBody, camera: Camera, picture: Rendering) -> FloatArray:
    """(133, 3): x and y in pixels, and 0 absent or out of frame, 1 hidden, 2 seen."""
    size = picture.image.shape[0]
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
        slack = _slack(KEYPOINTS[index], region)
        seen = picture.depth[int(y), int(x)] > far - slack and np.isfinite(picture.depth[int(y), int(x)])
        out[index] = (x, y, 2.0 if seen else 1.0)
    return out


def _slack(name: str, region: int) -> float:
    """How far behind the surface a seen point may lie, metres: joints are inside, points of the skin are not."""
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
    """The face's points, on a body whose vertices are numbered as ``FACE_VERTICES`` are; else none."""
    if len(body.vertices) < VERTICES:
        return {}
    head = region_id("head")
    return {f"face-{number}": (body.vertices[vertex], head) for number, vertex in enumerate(FACE_VERTICES)}
