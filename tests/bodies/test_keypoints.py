from dataclasses import replace

import numpy as np
import pytest

from asap.bodies.keypoints import keypoints
from asap.bodies.props import box
from asap.bodies.render import render
from asap.core.records import Camera, FloatArray, PosedBody, Prop
from asap.core.vocabulary import region_id
from asap.core.wholebody import KEYPOINTS
from tests.bodies.figures import BEHIND, FRONT, scene, spot

SIZE = 96
NAMES = KEYPOINTS
INDEX = {name: i for i, name in enumerate(NAMES)}


def found(body: PosedBody, camera: Camera, *props: Prop) -> FloatArray:
    return keypoints(body, camera, render(scene(body, *props, camera=camera), SIZE))


@pytest.fixture(scope="module")
def front(body: PosedBody) -> FloatArray:
    return found(body, FRONT)


def test_there_are_133_names_in_the_order_of_coco_wholebody() -> None:
    assert len(NAMES) == len(set(NAMES)) == 133
    assert NAMES[:5] == ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
    assert NAMES[9:11] == ("left_wrist", "right_wrist")
    assert NAMES[15:18] == ("left_ankle", "right_ankle", "left_big_toe")
    assert NAMES[22] == "right_heel"
    assert NAMES[23:91] == tuple(f"face-{i}" for i in range(68))
    assert (NAMES[91], NAMES[112]) == ("left_hand_root", "right_hand_root")
    assert NAMES[132] == "right_pinky_finger4"


def test_all_are_found_on_a_whole_body(front: FloatArray) -> None:
    assert front.shape == (133, 3)
    assert (front[:, 2] >= 1).all()


def test_points_of_the_face_lie_where_the_68_point_face_has_them(body: PosedBody) -> None:
    near = replace(FRONT, eye=(0.0, -1.2, 0.71), target=(0.0, 0.0, 0.71), fov=0.22)
    rendering = render(scene(body, camera=near), 256)
    points = keypoints(body, near, rendering)[23:91]
    assert (points[17:, 2] == 2).all()
    x, y = points[:, 0], points[:, 1]
    assert (np.diff(x[:17]) > 0).all(), "the jaw runs from the right ear, at the left of the image, to the left one"
    assert y[:17].argmax() == 8, "the chin is lowest"
    assert (np.diff(x[17:27]) > 0).all(), "eyebrows outwards in, then inwards out"
    assert (np.diff(y[27:31]) > 0).all(), "down the nose"
    assert (np.diff(x[31:36]) > 0).all()
    for corner, inner, brow in ((36, 39, slice(17, 22)), (45, 42, slice(22, 27))):
        assert abs(x[corner] - 128) > abs(x[inner] - 128), "outer and inner corner of the eye"
        assert y[brow].max() < y[corner], "an eyebrow is above its eye"
    assert y[37] < y[41] < y[30] < y[33] < y[51] < y[62] <= y[66] < y[57] < y[8]
    assert x[48] < x[60] < x[62] < x[64] < x[54]
    mirrored = {0: 16, 17: 26, 36: 45, 39: 42, 31: 35, 48: 54, 60: 64}
    assert all(abs(x[a] + x[b] - 256) < 2.5 and abs(y[a] - y[b]) < 1.5 for a, b in mirrored.items())


def test_a_face_that_looks_away_is_hidden(body: PosedBody) -> None:
    assert (found(body, BEHIND)[23 + 17 : 91, 2] == 1).all()


def test_left_is_the_persons_left(body: PosedBody, front: FloatArray) -> None:
    behind = found(body, BEHIND)
    pairs = [(INDEX[n], INDEX[n.replace("left", "right")]) for n in NAMES if n.startswith("left")]
    assert len(pairs) == 8 + 3 + 21
    for left, right in pairs:
        assert front[left, 0] > front[right, 0]
        assert behind[left, 0] < behind[right, 0]


def test_points_lie_on_their_parts(body: PosedBody, front: FloatArray) -> None:
    regions = render(scene(body), SIZE).regions
    for name, parts in (
        ("nose", ("head",)),
        ("left_elbow", ("arm.L",)),
        ("right_knee", ("leg.R",)),
        ("left_hand_root", ("hand.L", "arm.L")),
        ("right_middle_finger1", ("hand.R",)),
        ("left_big_toe", ("foot.L",)),
    ):
        x, y, _ = front[INDEX[name]]
        near = regions[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2]
        assert np.isin(near, [region_id(part) for part in parts]).any(), name


def test_what_faces_away_is_hidden(body: PosedBody, front: FloatArray) -> None:
    behind = found(body, BEHIND)
    assert front[INDEX["nose"], 2] == 2
    assert behind[INDEX["nose"], 2] == 1
    assert behind[INDEX["left_heel"], 2] == 2


def test_a_thing_in_front_hides_a_hand(body: PosedBody, front: FloatArray) -> None:
    wrist = body.bone_poses[body.bone_labels.index("wrist.L"), :3, 3]
    wall = box("box", wrist + spot(0, -0.5, 0), np.eye(3), (0.3, 0.02, 0.3), spot(1, 1, 1))
    hidden = found(body, FRONT, wall)
    hand = slice(INDEX["left_hand_root"], INDEX["left_hand_root"] + 21)
    assert (front[hand, 2] == 2).mean() > 0.4
    assert (hidden[hand, 2] == 1).all()
    assert np.array_equal(hidden[hand, :2], front[hand, :2])
    assert np.array_equal(hidden[112:], front[112:])


def test_what_is_out_of_frame_or_not_drawn_is_absent(body: PosedBody) -> None:
    above = found(body, replace(FRONT, target=(0.0, 0.0, 0.7), fov=0.2))
    assert above[INDEX["nose"], 2] == 2
    assert not above[INDEX["left_ankle"]].any()
    hand = (body.regions == region_id("hand.R"))[body.faces].all(axis=1)
    alone = found(replace(body, faces=body.faces[hand]), FRONT)
    assert (alone[INDEX["right_hand_root"] :, 2] >= 1).all()
    assert not np.delete(alone, np.s_[112:133], axis=0)[:, 2][np.arange(112) != INDEX["right_wrist"]].any()


def test_nobody_has_no_keypoints(body: PosedBody) -> None:
    empty = replace(body, faces=np.zeros((0, 3), dtype=np.int32))
    assert not found(empty, FRONT).any()
