"""The registry, and what holds for the landmarker ``mediapipe`` on the real photographs."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from asap.core.errors import ConfigError, StoreError, UnknownNameError
from asap.core.photos import PartRegion, Photo
from asap.core.wholebody import KEYPOINTS
from asap.regions import LANDMARKERS, landmarker
from asap.regions.mediapipe.landmarker import MediaPipe

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


def test_equal_pictures_give_equal_answers_also_after_pickling(
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
