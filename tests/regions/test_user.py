"""The user's own masks and keypoints."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from asap.core.errors import InputError
from asap.core.records import BoolArray
from asap.core.wholebody import KEYPOINTS
from asap.regions import landmarker, user_parts
from asap.regions.user import parse_keypoints

SHAPE = (240, 320)


def png(mask: BoolArray, mode: str = "L") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


def square(x: int, y: int, size: int = 40) -> BoolArray:
    mask = np.zeros(SHAPE, np.bool_)
    mask[y : y + size, x : x + size] = True
    return mask


def hand(x: float, y: float, size: float = 12.0) -> list[float]:
    """21 points, all seen: fingers up from a root at the bottom."""
    rows = [(x, y, 2.0)]
    for finger in range(5):
        rows += [(x + (finger - 2) * size, y - size * (1.5 + joint), 2.0) for joint in range(4)]
    return [value for row in rows for value in row]


def annotation(**extra: list[float]) -> dict[str, list[float]]:
    return {"keypoints": [0.0] * 51, **extra}


def keypoints(*people: dict[str, list[float]]) -> bytes:
    return json.dumps({"annotations": people}).encode()


def test_a_mask_is_the_part_that_its_name_says() -> None:
    files = {".hand.left.mask.png": png(square(20, 30)), ".face.none.mask.png": png(square(200, 0))}
    face, held = sorted(user_parts(SHAPE, files), key=lambda part: part.part)
    assert (held.part, held.side, held.person, held.instrument) == ("hand", "left", 0, "user")
    assert np.array_equal(held.mask, square(20, 30))
    assert held.box == (20, 30, 60, 70)
    assert held.keypoints.shape == (0, 3)
    assert (held.cut, face.cut) == (False, True)


def test_a_second_person_has_a_number() -> None:
    files = {".hand.left.mask.png": png(square(20, 30)), ".hand.left.1.mask.png": png(square(200, 30))}
    assert [part.person for part in user_parts(SHAPE, files)] == [0, 1]


def test_keypoints_give_parts_and_a_mask_takes_their_points() -> None:
    files = {".keypoints.json": keypoints(annotation(lefthand_kpts=hand(100, 150)))}
    (drawn,) = user_parts(SHAPE, files)
    assert (drawn.part, drawn.side, drawn.confidence) == ("hand", "left", 1.0)
    assert drawn.mask[100, 100]
    assert drawn.point("left_hand_root") == pytest.approx((100, 150))
    (masked,) = user_parts(SHAPE, files | {".mask.png": png(square(90, 90))})
    assert (masked.part, masked.side) == ("hand", "left")
    assert np.array_equal(masked.mask, square(90, 90))
    assert np.array_equal(masked.keypoints, drawn.keypoints)


def test_people_of_keypoints_are_numbered_by_size() -> None:
    small, large = annotation(lefthand_kpts=hand(60, 150, 8)), annotation(lefthand_kpts=hand(200, 180, 16))
    parts = user_parts(SHAPE, {".keypoints.json": keypoints(small, large)})
    assert [round(float(part.keypoints[0, 0])) for part in parts] == [200, 60]


def test_a_whole_body_has_every_part() -> None:
    at = {"nose": (160, 30), "left_ear": (172, 28), "right_ear": (148, 28)}
    for side, sign in (("left", 1), ("right", -1)):
        places = {"shoulder": (28, 62), "elbow": (60, 95), "wrist": (85, 120), "hip": (18, 130), "knee": (24, 175)}
        places |= {"ankle": (26, 215), "heel": (24, 222), "big_toe": (36, 225)}
        at |= {f"{side}_{joint}": (160 + sign * x, y) for joint, (x, y) in places.items()}
    flat = [value for name in KEYPOINTS for value in ((*at[name], 1.0) if name in at else (0.0, 0.0, 0.0))]
    parts = user_parts(SHAPE, {".keypoints.json": json.dumps([{"keypoints": flat}]).encode()})
    paired = {(part, side) for part in ("arm", "leg", "foot") for side in ("left", "right")}
    assert {(part.part, part.side) for part in parts} == paired | {("torso", "none"), ("neck", "none")}
    assert np.stack([part.mask for part in parts]).sum(axis=0).max() == 1
    where = {(part.part, part.side): part.mask for part in parts}
    assert where["arm", "left"][95, 218]
    assert where["leg", "right"][175, 136]
    assert where["torso", "none"][100, 160]
    assert not any(part.mask[200, 160] for part in parts)


def test_a_part_with_missing_points_is_left_out_and_told() -> None:
    points = hand(100, 150)
    points[2] = 0
    reader = landmarker("user", files={".keypoints.json": keypoints(annotation(lefthand_kpts=points))})
    result = reader.search(np.zeros((*SHAPE, 3), np.uint8))  # type: ignore[attr-defined]
    assert result.regions == ()
    assert result.notes == ("person 0: left hand left out, 20 of 21 points",)


def test_visibility_becomes_confidence() -> None:
    flat = [0.0] * 51
    flat[:6] = [5, 6, 2, 7, 8, 1]
    (points,) = parse_keypoints(json.dumps({"keypoints": flat}).encode())
    assert points[:3].tolist() == [[5, 6, 1], [7, 8, 0.5], [0, 0, 0]]
    flat[:6] = [5, 6, 0.9, 7, 8, 0.25]
    (points,) = parse_keypoints(json.dumps({"keypoints": flat}).encode())
    assert points[:2, 2].tolist() == pytest.approx([0.9, 0.25])


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({".hand.left.mask.png": png(np.ones((80, 80), np.bool_))}, "320 x 240"),
        ({".hand.left.mask.png": png(np.zeros(SHAPE, np.bool_))}, "black everywhere"),
        ({".hand.none.mask.png": png(square(0, 0))}, "left or right"),
        ({".face.left.mask.png": png(square(0, 0))}, "left or right"),
        ({".wing.left.mask.png": png(square(0, 0))}, "hand, arm"),
        ({".hand.left.x.mask.png": png(square(0, 0))}, "rename"),
        ({".mask.png": png(square(0, 0))}, "the part is unknown"),
        ({".notes.txt": b"x"}, "unknown file"),
        ({".hand.left.mask.png": b"x"}, "not_a_picture|convert it"),
        ({".keypoints.json": b"x"}, "COCO"),
        ({".keypoints.json": b"[3]"}, "COCO"),
        ({".keypoints.json": b'{"a": 1}'}, "COCO"),
        ({".keypoints.json": b'{"keypoints": [1, 2]}'}, "COCO"),
        ({".keypoints.json": json.dumps({"keypoints": [3.0] * 51}).encode()}, "visibility"),
    ],
)
def test_what_cannot_be_meant_is_one_line(files: dict[str, bytes], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        user_parts(SHAPE, files)
    assert "\n" not in caught.value.line


def test_a_transparent_mask_is_refused() -> None:
    image = Image.new("RGBA", SHAPE[::-1], (0, 0, 0, 0))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    with pytest.raises(InputError, match="transparent"):
        user_parts(SHAPE, {".hand.left.mask.png": buffer.getvalue()})


def test_the_fingerprint_is_that_of_the_files() -> None:
    one, two = ({".hand.left.mask.png": png(square(x, 30))} for x in (20, 21))
    assert landmarker("user", files=one).fingerprint == landmarker("user", files=dict(one)).fingerprint
    assert landmarker("user", files=one).fingerprint != landmarker("user", files=two).fingerprint
