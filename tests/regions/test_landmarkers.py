"""The registry, and what holds for the landmarker ``mediapipe`` on the real photographs."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from asap.core.errors import ConfigError, StoreError, UnknownNameError
from asap.core.photos import PartRegion, Photo
from asap.core.wholebody import KEYPOINTS
from asap.regions import LANDMARKERS, landmarker, models
from asap.regions.mediapipe.landmarker import MediaPipe
from tests.regions.conftest import PHOTOS
from tests.regions.test_models import archive

Find = Callable[[str], tuple[PartRegion, ...]]


def hands(regions: tuple[PartRegion, ...]) -> dict[str, PartRegion]:
    return {part.side: part for part in regions if part.part == "hand"}


def middle(part: PartRegion) -> tuple[float, float]:
    x0, y0, x1, y1 = part.box
    return (x0 + x1) / 2, (y0 + y1) / 2


def test_unknown_names_options_and_absent_models_are_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="mediapipe"):
        landmarker("nobody")
    with pytest.raises(ConfigError, match="colour"):
        landmarker("mediapipe", colour="red")
    with pytest.raises(StoreError, match="fetch"):
        landmarker("mediapipe", folder=tmp_path)
    assert "mediapipe" in LANDMARKERS


def test_left_and_right_are_the_persons_own(found: Find) -> None:
    """The woman with crossed arms holds the glasses (upper middle) in her right hand; the left one is at the edge."""
    crossed, sitting = hands(found("arms_crossed.png")), hands(found("sitting_stretch.jpg"))
    assert middle(crossed["right"]) == pytest.approx((585, 700), abs=60)
    assert middle(crossed["left"]) == pytest.approx((150, 1130), abs=60)
    assert middle(sitting["right"]) == pytest.approx((248, 385), abs=30)
    assert middle(sitting["left"]) == pytest.approx((591, 361), abs=30)


def parts(regions: tuple[PartRegion, ...]) -> set[tuple[str, str]]:
    return {(part.part, part.side) for part in regions}


def test_every_part_in_sight_is_found(found: Find) -> None:
    paired = {(part, side) for part in ("hand", "arm", "leg", "foot") for side in ("left", "right")}
    single = {("face", "none"), ("torso", "none"), ("neck", "none")}
    assert parts(found("sitting_stretch.jpg")) == paired | single
    above = {(part, side) for part, side in paired if part in ("hand", "arm")}
    assert parts(found("arms_crossed.png")) == above | single
    assert {part.person for part in found("sitting_stretch.jpg")} == {0}


@pytest.mark.parametrize("name", ["thumb_up.jpg", "thumb_up_black_background.png", "two_thumbs_up.jpg"])
def test_a_hand_close_up_is_not_taken_for_a_body_or_a_face(found: Find, name: str) -> None:
    assert {part.part for part in found(name)} == {"hand"}


def test_parts_lie_where_they_are_seen(found: Find) -> None:
    """Places read off the photograph of the sitting woman, whose left is on the image's right."""
    sitting = {(part.part, part.side): part for part in found("sitting_stretch.jpg")}
    seen = {
        ("face", "none"): (335, 110),
        ("torso", "none"): (380, 250),
        ("arm", "right"): (270, 225),
        ("arm", "left"): (524, 237),
        ("leg", "right"): (220, 430),
        ("leg", "left"): (660, 370),
        ("foot", "right"): (200, 540),
        ("foot", "left"): (770, 465),
    }
    for part, (x, y) in seen.items():
        owners = [name for name, region in sitting.items() if region.mask[y, x]]
        assert owners == [part]
    background = [(30, 300), (470, 500), (700, 320), (145, 310)]
    assert not any(region.mask[y, x] for region in sitting.values() for x, y in background)


def test_the_face_has_its_points_in_order(found: Find) -> None:
    face = next(part for part in found("arms_crossed.png") if part.part == "face")
    at = {name: face.point(f"face-{name}") for name in (0, 8, 16, 30, 36, 45, 48, 54)}
    xs = {name: float(point[0]) for name, point in at.items() if point is not None}
    ys = {name: float(point[1]) for name, point in at.items() if point is not None}
    assert xs[0] < xs[36] < xs[48] < xs[30] < xs[54] < xs[45] < xs[16]
    assert ys[36] < ys[30] < ys[48] < ys[8]
    assert at[8] == pytest.approx((520, 462), abs=15)
    assert at[36] == pytest.approx((424, 268), abs=15)


def test_a_hand_mask_is_tight_on_a_cut_out_hand(found: Find) -> None:
    """The hand on black comes with its own cut-out: what lies outside it is background."""
    path = PHOTOS / "thumb_up_black_background.png"
    hand = hands(found(path.name))["right"]
    cutout = np.asarray(Image.open(path).getchannel("A")) > 128
    assert (hand.mask & ~cutout).sum() < 0.02 * hand.mask.sum()
    x0, y0, x1, y1 = 760, 270, 1250, 950
    assert (hand.mask & cutout)[y0:y1, x0:x1].sum() > 0.97 * cutout[y0:y1, x0:x1].sum()


def test_several_people_are_numbered_by_size(mediapipe: MediaPipe, photo: Callable[[str], Photo]) -> None:
    image = photo("sitting_stretch.jpg").image
    small = np.asarray(Image.fromarray(image).resize((480, 320)))
    canvas = np.full((640, 960 + 480, 3), 128, np.uint8)
    canvas[:, 480:], canvas[160:480, :480] = image, small
    regions = mediapipe.find(canvas)
    faces = {part.person: middle(part) for part in regions if part.part == "face"}
    assert faces[0] == pytest.approx((480 + 336, 112), abs=15)
    assert faces[1] == pytest.approx((168, 160 + 56), abs=12)
    for part in regions:
        assert (part.box[0] > 470) == (part.person == 0)


@pytest.mark.parametrize(("name", "side"), [("thumb_up.jpg", "left"), ("thumb_up_black_background.png", "right")])
def test_a_hand_close_up_has_its_side(found: Find, name: str, side: str) -> None:
    assert set(hands(found(name))) == {side}


@pytest.mark.parametrize("name", ["arms_crossed.png", "sitting_stretch.jpg", "thumb_up.jpg", "two_thumbs_up.jpg"])
def test_every_region_keeps_the_contract(found: Find, photo: Callable[[str], Photo], name: str) -> None:
    regions, image = found(name), photo(name).image
    assert regions
    for part in regions:
        assert part.instrument == "mediapipe"
        assert part.mask.shape == image.shape[:2]
        x0, y0, x1, y1 = part.box
        assert part.mask[y0:y1, x0:x1].sum() == part.mask.sum() > 0
        assert part.keypoints.shape == (len(part.keypoint_names), 3)
        assert set(part.keypoint_names) <= set(KEYPOINTS)
        assert 0 < part.confidence <= 1
    assert len({(part.person, part.part, part.side) for part in regions}) == len(regions)


def test_equal_images_give_equal_answers_also_after_pickling(
    mediapipe: MediaPipe, found: Find, photo: Callable[[str], Photo], capfd: pytest.CaptureFixture[str]
) -> None:
    packed = pickle.dumps(mediapipe)
    assert len(packed) < 2000
    again = pickle.loads(packed)
    assert again.fingerprint == mediapipe.fingerprint
    regions = again.find(photo("thumb_up.jpg").image)
    for old, new in zip(found("thumb_up.jpg"), regions, strict=True):
        assert np.array_equal(old.mask, new.mask)
        assert np.array_equal(old.keypoints, new.keypoints)
    os.write(2, b"")
    assert capfd.readouterr() == ("", "")


def test_a_bundle_replaces_models_of_the_same_shapes(mediapipe: MediaPipe, tmp_path: Path) -> None:
    palm, hand = models.load("palm_detection_full"), models.load("hand_landmark_full")
    path = tmp_path / "hands.task"
    path.write_bytes(archive({"hand_detector.tflite": palm, "hand_landmarks_detector.tflite": hand}))
    assert landmarker("mediapipe", bundle=path).fingerprint == mediapipe.fingerprint
    path.write_bytes(archive({"hand_detector.tflite": hand}))
    with pytest.raises(StoreError, match="other shapes"):
        landmarker("mediapipe", bundle=path)
    path.write_bytes(archive({"hand_detector.tflite": b"no model"}))
    with pytest.raises(StoreError, match="not a TensorFlow Lite model"):
        landmarker("mediapipe", bundle=path)


def test_nobody_gives_an_empty_tuple(mediapipe: MediaPipe) -> None:
    ramp = np.tile(np.linspace(0, 255, 320).astype(np.uint8), (240, 1))
    assert mediapipe.find(np.stack([ramp] * 3, axis=2)) == ()


def test_a_tiny_hand_is_left_out_and_told(photo: Callable[[str], Photo], mediapipe: MediaPipe) -> None:
    strict = landmarker("mediapipe", min_pixels=10_000)
    assert isinstance(strict, MediaPipe)
    assert strict.fingerprint != mediapipe.fingerprint
    result = strict.search(photo("sitting_stretch.jpg").image)
    assert hands(result.regions) == {}
    assert any("left hand left out" in note for note in result.notes)


def test_a_hand_at_the_edge_is_cut(mediapipe: MediaPipe, photo: Callable[[str], Photo]) -> None:
    image = photo("thumb_up.jpg").image
    whole, clipped = hands(mediapipe.find(image)), hands(mediapipe.find(np.ascontiguousarray(image[:, :360])))
    assert not whole["left"].cut
    assert clipped["left"].cut
