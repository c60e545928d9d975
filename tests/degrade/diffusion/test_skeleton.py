"""Breaks of known geometry on a hand of five straight parallel fingers, an arm and a face."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from asap.core.errors import InputError
from asap.core.photos import PartRegion
from asap.core.records import ByteArray, FloatArray
from asap.core.wholebody import FINGERS, KEYPOINTS
from asap.degrade.diffusion import break_skeleton, skeleton_pair
from asap.degrade.diffusion.editable_skeleton import EditableSkeleton, finger_names, people_of, turn
from asap.degrade.diffusion.load import load_inpainter
from asap.degrade.diffusion.skeleton_operations import SKELETON_OPERATIONS
from tests.degrade.diffusion.conftest import FakeInpainter, hand_region, painted, pair_of
from tests.degrade.diffusion.tiny import SIZE


def region(part: str, points: dict[str, tuple[float, float]], side: str = "left", person: int = 0) -> PartRegion:
    """A part with these keypoints and a mask around them."""
    places = np.array(list(points.values()), dtype=np.float32)
    mask = np.zeros((120, 160), dtype=bool)
    x0, y0 = np.maximum(places.min(axis=0).astype(int) - 4, 0)
    x1, y1 = places.max(axis=0).astype(int) + 5
    mask[y0:y1, x0:x1] = True
    return PartRegion(
        part=part,
        side=side,
        person=person,
        mask=mask,
        box=(x0, y0, x1, y1),
        keypoints=np.column_stack([places, np.ones(len(places))]).astype(np.float32),
        keypoint_names=tuple(points),
        confidence=0.8,
        instrument="test",
    )


def arm() -> PartRegion:
    """Bent by a right angle at the elbow: down 30 pixels, then 30 to the right."""
    return region("arm", {"left_shoulder": (50, 30), "left_elbow": (50, 60), "left_wrist": (80, 60)})


def leg() -> PartRegion:
    return region("leg", {"right_hip": (60, 20), "right_knee": (60, 60), "right_ankle": (62, 100)}, side="right")


def face() -> PartRegion:
    rng = np.random.default_rng(3)
    points = {f"face-{i}": tuple(rng.uniform(40, 80, 2)) for i in range(68)}
    return region("face", points | {"left_eye": (50, 50), "right_eye": (70, 50), "nose": (60, 60)}, side="none")


PARTS = {"hand": hand_region, "arm": arm, "leg": leg, "face": face}


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def places(points: FloatArray, names: tuple[str, ...]) -> FloatArray:
    return points[[KEYPOINTS.index(name) for name in names], :2]


def finger(points: FloatArray, number: int) -> FloatArray:
    return places(points, finger_names("left", number))


@pytest.mark.parametrize(("part", "operation"), SKELETON_OPERATIONS)
@pytest.mark.parametrize("severity", [1, 2, 3])
def test_every_break(part: str, operation: str, severity: int) -> None:
    target = PARTS[part]()
    other = region("hand", {"right_hand_root": (10, 10)}, side="right", person=1)
    kept = target.keypoints.copy()
    first, again = (break_skeleton([target, other], target, operation, severity, draw(5)) for _ in range(2))
    assert (target.keypoints == kept).all()
    for one, two in zip(first.broken, again.broken, strict=True):
        assert np.array_equal(one, two)
    assert first.detail == again.detail
    assert len(first.whole) == 2
    assert np.array_equal(first.whole[1], first.broken[1])  # the other person
    assert len(first.broken) > 2 or not np.array_equal(first.whole[0], first.broken[0])
    assert len(first.reach)
    assert all(np.isfinite(points).all() for points in first.broken)


def test_extra_fingers_stand_midway(hand: PartRegion) -> None:
    broken = break_skeleton([hand], hand, "extra", 2, draw())
    assert len(broken.broken) == 3
    assert np.array_equal(broken.broken[0], broken.whole[0])
    after = [int(text) for text in str(broken.detail["after"]).split(",")]
    for gap, piece in zip(after, broken.broken[1:], strict=True):
        expected = (finger(broken.whole[0], gap) + finger(broken.whole[0], gap + 1)) / 2
        assert np.allclose(finger(piece, gap), expected)
        assert (piece[:, 2] > 0).sum() == 5
        assert np.array_equal(places(piece, ("left_hand_root",)), places(broken.whole[0], ("left_hand_root",)))


def test_missing_fingers(hand: PartRegion) -> None:
    for severity in (1, 2, 3):
        points = break_skeleton([hand], hand, "missing", severity, draw()).broken[0]
        assert (points[:, 2] > 0).sum() == 21 - 4 * severity


def test_fused_fingers_share_their_mean(hand: PartRegion) -> None:
    broken = break_skeleton([hand], hand, "fused", 1, draw())
    first, second = (int(text) for text in str(broken.detail["fingers"]).split(","))
    assert second == first + 1
    expected = (finger(broken.whole[0], first) + finger(broken.whole[0], second)) / 2
    assert np.allclose(finger(broken.broken[0], first), expected)
    assert np.allclose(finger(broken.broken[0], second), expected)


@pytest.mark.parametrize(("operation", "factors"), [("elongated", (1.35, 1.6, 2.0)), ("shortened", (0.7, 0.55, 0.4))])
def test_finger_lengths(hand: PartRegion, operation: str, factors: tuple[float, ...]) -> None:
    for severity, factor in zip((1, 2, 3), factors, strict=True):
        broken = break_skeleton([hand], hand, operation, severity, draw())
        chosen = [int(text) for text in str(broken.detail["fingers"]).split(",")]
        for number in range(5):
            old, new = finger(broken.whole[0], number), finger(broken.broken[0], number)
            assert np.allclose(new - new[0], (old - old[0]) * (factor if number in chosen else 1.0), atol=1e-3)


def test_a_straight_finger_is_bent_by_the_angle_of_the_severity(hand: PartRegion) -> None:
    broken = break_skeleton([hand], hand, "reversed_joint", 1, draw())
    number = int(str(broken.detail["fingers"]))
    figure = EditableSkeleton(broken.broken[0])
    names = finger_names("left", number)
    assert figure.bend(*names[:3]) == pytest.approx(broken.detail["angle"], abs=1e-5)
    assert abs(float(broken.detail["angle"])) == pytest.approx(np.radians(50))
    old, new = (np.linalg.norm(np.diff(finger(p, number), axis=0), axis=1) for p in (broken.whole[0], broken.broken[0]))
    assert np.allclose(old, new, atol=1e-4)
    assert figure.bend(*names[1:]) == pytest.approx(0.0, abs=1e-4)  # the tip is carried along


def test_a_bent_elbow_bends_the_other_way() -> None:
    # down, then right: from (0, 1) to (1, 0) is -90 degrees in image coordinates; reversed it is +90, to the left
    points = break_skeleton([arm()], arm(), "reversed_joint", 1, draw()).broken[0]
    assert np.allclose(places(points, ("left_elbow", "left_wrist")), [[50, 60], [20, 60]], atol=1e-3)
    # severity 3 bends by 110 degrees at least
    points = break_skeleton([arm()], arm(), "reversed_joint", 3, draw()).broken[0]
    expected = np.array([50, 60]) + 30 * np.array([-np.sin(np.radians(110)), np.cos(np.radians(110))])
    assert np.allclose(places(points, ("left_wrist",)), expected, atol=1e-3)


def test_the_hand_moves_with_the_forearm() -> None:
    own = hand_region(corner=(80, 20))
    broken = break_skeleton([arm(), own], arm(), "elongated", 3, draw(1))
    names = ("left_wrist", "left_hand_root", *(f"left_{f}4" for f in FINGERS))
    step = places(broken.broken[0], names) - places(broken.whole[0], names)
    assert np.allclose(step, step[0])
    assert np.linalg.norm(step[0]) == pytest.approx(30)  # one bone of 30 pixels, twice as long
    assert broken.detail["bone"] in {"upper", "lower"}


def test_swapped_hand_is_a_mirror_image(hand: PartRegion) -> None:
    broken = break_skeleton([hand], hand, "swapped_side", 1, draw())
    # root and finger bases are symmetric about x = 5, so thumb and pinky change places
    for number in range(5):
        assert np.allclose(finger(broken.broken[0], number), finger(broken.whole[0], 4 - number), atol=1e-3)


def test_doubled_limb_turns_about_its_root() -> None:
    broken = break_skeleton([arm()], arm(), "duplicated", 2, draw())
    assert len(broken.broken) == 2
    names = ("left_shoulder", "left_elbow", "left_wrist")
    old, new = places(broken.whole[0], names), places(broken.broken[1], names)
    assert np.allclose(new, turn(old, old[0], float(broken.detail["angle"])), atol=1e-3)
    assert abs(float(broken.detail["angle"])) == pytest.approx(np.radians(50))


def test_missing_limb_by_severity() -> None:
    own = hand_region(corner=(80, 20))
    known = [
        {name for name, row in zip(KEYPOINTS, points, strict=True) if row[2] > 0}
        for points in (break_skeleton([arm(), own], arm(), "missing", s, draw()).broken[0] for s in (1, 2, 3))
    ]
    assert known == [
        {"left_shoulder", "left_elbow", "left_wrist"},
        {"left_shoulder", "left_elbow"},
        {"left_shoulder"},
    ]
    assert break_skeleton([leg()], leg(), "missing", 1, draw()).broken[0][:, 2].sum() == 2


def test_face_features_move_with_their_body_points() -> None:
    broken = break_skeleton([face()], face(), "missing", 3, draw())
    gone = str(broken.detail["features"]).split(",")
    assert len(gone) == 3
    assert ("left eye" in gone) == (broken.broken[0][KEYPOINTS.index("left_eye"), 2] == 0)
    twisted = break_skeleton([face()], face(), "twisted", 1, draw())
    assert np.array_equal(twisted.whole[0][23:40], twisted.broken[0][23:40])  # the outline stays
    assert not np.array_equal(twisted.whole[0][59:91], twisted.broken[0][59:91])


def test_turn_is_clockwise_as_seen() -> None:
    assert np.allclose(
        turn(np.array([[1.0, 0.0]], dtype=np.float32), np.zeros(2, dtype=np.float32), np.pi / 2), [[0.0, 1.0]]
    )


def test_people_take_the_surest_points() -> None:
    first = region("arm", {"left_wrist": (10, 10), "left_elbow": (20, 20)})
    second = region("hand", {"left_wrist": (12, 10)})
    third = region("hand", {"left_wrist": (90, 90)}, person=4)
    unsure = replace(second, keypoints=second.keypoints * np.array([1, 1, 0.5], dtype=np.float32))
    numbers, people = people_of([unsure, third, first])
    assert numbers == (0, 4)
    assert places(people[0], ("left_wrist",)).tolist() == [[10, 10]]
    assert places(people[1], ("left_wrist",)).tolist() == [[90, 90]]


def test_what_a_skeleton_cannot_say_is_refused(hand: PartRegion) -> None:
    with pytest.raises(InputError, match=r"'thickened' on 'hand'; choose one of: extra, missing"):
        break_skeleton([hand], hand, "thickened", 1, draw())
    with pytest.raises(InputError, match="break one of: arm, face, hand, leg"):
        break_skeleton([hand], replace(hand, part="foot"), "missing", 1, draw())
    with pytest.raises(InputError, match="severity"):
        break_skeleton([hand], hand, "missing", 0, draw())
    bare = replace(hand, keypoints=hand.keypoints * np.array([1, 1, 0], dtype=np.float32))
    with pytest.raises(InputError, match="two fingers of the left hand must be known"):
        break_skeleton([bare], bare, "extra", 1, draw())
    with pytest.raises(InputError, match="left_elbow"):
        break_skeleton([], region("arm", {"left_shoulder": (5, 5)}), "elongated", 1, draw())


def test_the_pair_and_what_the_painter_was_shown(photo: ByteArray, hand: PartRegion) -> None:
    inpainter = FakeInpainter(maps=("pose",))
    pair = pair_of(
        skeleton_pair, photo, hand, "extra", 1, draw(), inpainter, caption="a man waves", regions=[hand, arm()]
    )
    assert (pair.edit.operation, pair.edit.severity, pair.edit.detail["space"]) == ("extra", 1, "skeleton")
    outside = pair.mask == 0
    assert (pair.chosen[outside] == photo[outside]).all()
    assert (pair.rejected[outside] == photo[outside]).all()
    call = inpainter.calls[0]
    drawing = call["control"]["pose"]  # type: ignore[index]
    assert drawing.shape == call["image"].shape  # type: ignore[attr-defined]
    assert (drawing == [0, 0, 255]).all(axis=2).any()
    assert str(call["prompt"]).startswith("hand with one too many, a man waves")


def test_the_mask_covers_where_the_limb_will_be(photo: ByteArray) -> None:
    own = hand_region(corner=(80, 20))
    pair = pair_of(
        skeleton_pair, photo, arm(), "reversed_joint", 1, draw(), FakeInpainter(maps=("pose",)), regions=[arm(), own]
    )
    assert pair.mask[60, 22] == 255  # the wrist after
    assert pair.mask[60, 78] == 255  # the wrist before
    assert (pair.mask[own.mask] == 255).all()  # the hand that went away
    assert pair.mask[110, 150] == 0


def test_a_ring_shows_each_side_its_own_skeleton(photo: ByteArray, hand: PartRegion) -> None:
    inpainter = FakeInpainter(maps=("pose",))
    pair_of(skeleton_pair, photo, hand, "missing", 3, draw(), inpainter, seam="ring")
    first, chosen, rejected = (call["control"]["pose"] for call in inpainter.calls)  # type: ignore[index]
    assert np.array_equal(first, rejected)
    assert not np.array_equal(chosen, rejected)


def test_a_painter_without_pose_is_refused(photo: ByteArray, hand: PartRegion) -> None:
    with pytest.raises(InputError, match="load one of kind skeleton"):
        pair_of(skeleton_pair, photo, hand, "extra", 1, draw(), FakeInpainter())


@pytest.mark.parametrize(
    ("model", "network", "pipeline"),
    [
        ("sd", "sd-controlnet", "StableDiffusionControlNetInpaintPipeline"),
        ("sdxl", "sdxl-controlnet", "StableDiffusionXLControlNetInpaintPipeline"),
        ("sdxl", "sdxl-union", "StableDiffusionXLControlNetUnionInpaintPipeline"),
        ("flux", "flux-controlnet", "FluxControlNetInpaintPipeline"),
        ("flux", "flux-union", "FluxControlNetInpaintPipeline"),
        ("z-image", "z-image-controlnet", "ZImageControlNetInpaintPipeline"),
    ],
)
def test_end_to_end(
    model: str, network: str, pipeline: str, tiny: Callable[..., str], photo: ByteArray, hand: PartRegion
) -> None:
    inpainter = load_inpainter("skeleton", tiny(model), controlnet=tiny(network), steps=1, size=SIZE)
    assert type(inpainter.pipeline).__name__ == pipeline
    assert inpainter.maps == ("pose",)
    first, other, again = (
        pair_of(skeleton_pair, photo, hand, operation, 3, draw(1), inpainter, regions=[hand])
        for operation in ("missing", "misshapen", "missing")
    )
    outside = first.mask == 0
    assert (first.rejected[outside] == photo[outside]).all()
    assert (first.chosen[outside] == photo[outside]).all()
    assert (first.rejected == again.rejected).all()
    assert (first.rejected != other.rejected).any()


def test_the_drawing_steers(tiny: Callable[..., str], photo: ByteArray) -> None:
    inpainter = load_inpainter("skeleton", tiny("sd"), controlnet=tiny("sd-controlnet"), steps=1)
    image, mask = photo[:SIZE, :SIZE], np.ones((SIZE, SIZE), dtype=bool)
    drawings = [np.full_like(image, level) for level in (0, 255)]
    images = [painted(inpainter, image, mask, "x", seed=1, strength=1.0, control={"pose": d}) for d in drawings]
    assert (images[0] != images[1]).any()
    with pytest.raises(InputError, match="needs the map 'pose'"):
        painted(inpainter, image, mask, "x", seed=1, strength=1.0)
