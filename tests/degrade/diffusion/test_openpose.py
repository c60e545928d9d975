import numpy as np
import pytest

from asap.core.records import FloatArray
from asap.core.wholebody import KEYPOINTS
from asap.degrade.diffusion.openpose import BODY, COLOURS, EDGES, HAND_LINES, LIMBS, draw_skeletons


def person(**points: tuple[float, float]) -> FloatArray:
    """A skeleton that knows these points alone; ``face_3`` stands for face-3."""
    out = np.zeros((len(KEYPOINTS), 3), dtype=np.float32)
    for name, place in points.items():
        out[KEYPOINTS.index(name.replace("face_", "face-"))] = (*place, 1.0)
    return out


def test_a_forearm_by_hand() -> None:
    # left elbow and wrist are points 6 and 7 of OpenPose, the limb between them is the sixth
    image = draw_skeletons([person(left_elbow=(20, 50), left_wrist=(80, 50))], 100, 100)
    assert image.shape == (100, 100, 3)
    assert image[50, 50].tolist() == [51, 153, 0]  # 0.6 of (85, 255, 0)
    assert image[50, 20].tolist() == [0, 255, 0]
    assert image[50, 80].tolist() == [0, 255, 85]
    assert image[54, 50].any()  # half as wide as 4
    assert not image[55, 50].any()
    assert image[50, 16].any()  # the disc of the joint reaches 4 beyond
    assert not image[50, 15].any()
    # the ellipse is thinner towards its ends: x 30 is 20 of 30 from the middle, so 4 * sqrt(1 - 4 / 9) = 2.98
    assert image[52, 30].any()
    assert not image[53, 30].any()


def test_a_finger_by_hand() -> None:
    root, joints = (50.0, 90.0), {f"right_forefinger{j}": (50.0, 90.0 - 20 * j) for j in (1, 2, 3, 4)}
    image = draw_skeletons([person(right_hand_root=root, **joints)], 100, 100)
    # lines 4 to 7 of 20: hues 72, 90, 108 and 126 degrees
    expected = [[204, 255, 0], [128, 255, 0], [51, 255, 0], [0, 255, 25]]
    assert [image[80 - 20 * i, 50].tolist() for i in range(4)] == expected
    assert image[80, 51].any()
    assert not image[80, 52].any()
    for y in (90, 70, 50, 30, 10):
        assert image[y, 50].tolist() == [0, 0, 255]
        assert image[y, 54].tolist() == [0, 0, 255]
        assert not image[y, 55].any()


def test_the_face_is_white_dots() -> None:
    image = draw_skeletons([person(face_0=(10, 10), face_67=(30, 20))], 40, 40)
    assert image[10, 13].tolist() == [255, 255, 255]
    assert not image[10, 14].any()
    # 29 pixels within 3 of a pixel, twice
    assert image.any(axis=2).sum() == 58


def test_the_neck_is_midway_and_wants_both_shoulders() -> None:
    both = draw_skeletons([person(left_shoulder=(80, 40), right_shoulder=(20, 40))], 100, 100)
    assert both[40, 50].tolist() == list(COLOURS[1])
    assert both[40, 35].tolist() == [153, 0, 0]  # neck to right shoulder is the first limb
    assert both[40, 65].tolist() == [153, 51, 0]
    one = draw_skeletons([person(left_shoulder=(80, 40))], 100, 100)
    assert not one[40, :70].any()


def test_uncertain_points_are_not_drawn() -> None:
    doubtful = person(left_elbow=(20, 50), left_wrist=(80, 50))
    doubtful[:, 2] *= 0.29
    assert not draw_skeletons([doubtful], 100, 100).any()
    assert not draw_skeletons([], 10, 10).any()


def test_points_outside_are_cut_and_strokes_scale() -> None:
    far = person(left_elbow=(-30, 50), left_wrist=(30, 50))
    assert draw_skeletons([far], 100, 100)[50, 0].tolist() == [51, 153, 0]
    thick = draw_skeletons([person(left_elbow=(20, 50), left_wrist=(80, 50))], 100, 100, stroke=2.0)
    assert thick[58, 50].any()
    assert not thick[59, 50].any()


def test_tables() -> None:
    assert len(BODY) == 18
    assert len(LIMBS) == 17
    assert len(COLOURS) == 18
    assert len(HAND_LINES) == 20
    assert HAND_LINES[:5] == ((0, 1), (1, 2), (2, 3), (3, 4), (0, 5))
    assert [KEYPOINTS[i] for i in BODY[2:5]] == ["right_shoulder", "right_elbow", "right_wrist"]
    assert len(EDGES) == 12 + 40  # five limbs end at the neck


@pytest.mark.parametrize("edge", EDGES)
def test_edges_join_known_points(edge: tuple[int, int]) -> None:
    assert 0 <= min(edge) < max(edge) < len(KEYPOINTS)
