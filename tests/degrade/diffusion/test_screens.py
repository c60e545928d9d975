from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from asap.core.errors import InputError
from asap.core.photos import PartRegion
from asap.core.records import ByteArray
from asap.core.wholebody import KEYPOINTS
from asap.degrade.diffusion import LandmarkScreen, VlmScreen, break_skeleton, instrument
from asap.degrade.diffusion.screens import changes
from tests.degrade.diffusion.test_skeleton import arm, draw, face

CHOSEN, REJECTED = np.zeros((120, 160, 3), dtype=np.uint8), np.full((120, 160, 3), 9, dtype=np.uint8)


def screen(before: Sequence[PartRegion], after: Sequence[PartRegion]) -> LandmarkScreen:
    """One that finds ``before`` in the black image and ``after`` in the grey one."""

    def find(image: ByteArray) -> Sequence[PartRegion]:
        return after if image.any() else before

    return LandmarkScreen(find, "finder", "f" * 64)


def broken(part: PartRegion, operation: str, severity: int = 3, seed: int = 1) -> PartRegion:
    """The part with the keypoints of its broken skeleton."""
    points = break_skeleton([part], part, operation, severity, draw(seed)).broken[0]
    rows = np.array([points[KEYPOINTS.index(name)] for name in part.keypoint_names])
    return replace(part, keypoints=rows.astype(np.float32))


def worse(before: Sequence[PartRegion], after: Sequence[PartRegion], region: PartRegion) -> float:
    return screen(before, after).worse(CHOSEN, REJECTED, region)


def test_nothing_found_says_nothing_and_a_lost_part_says_all(hand: PartRegion) -> None:
    assert worse([], [hand], hand) == 0.0
    assert worse([hand], [], hand) == 1.0
    assert worse([hand], [hand], hand) == 0.0


def test_lost_confidence_is_a_share(hand: PartRegion) -> None:
    assert worse([hand], [replace(hand, confidence=0.45)], hand) == pytest.approx(0.5)
    assert worse([replace(hand, confidence=0.5)], [hand], hand) == 0.0  # a surer find is not worse


def test_another_hand_elsewhere_is_not_the_same(hand: PartRegion) -> None:
    far = replace(hand, box=(0, 0, 20, 20))
    assert worse([hand], [far], hand) == 1.0
    assert worse([hand], [replace(hand, part="foot")], hand) == 1.0
    assert worse([hand], [far, hand], hand) == 0.0


def test_a_hand_taken_for_the_other_side_is_still_the_same(hand: PartRegion) -> None:
    names = tuple(name.replace("left", "right") for name in hand.keypoint_names)
    other = replace(hand, side="right", keypoint_names=names)
    assert worse([hand], [other], hand) == 0.0


def test_size_place_and_turn_of_the_whole_part_do_not_count(hand: PartRegion) -> None:
    quarter = np.array([[0.0, 1.0], [-1.0, 0.0]], dtype=np.float32)
    points = hand.keypoints.copy()
    points[:, :2] = 1.7 * points[:, :2] @ quarter + 11
    assert max(changes(hand, replace(hand, keypoints=points)).values()) == 0.0


def test_shares_by_hand(hand: PartRegion) -> None:
    # four of five fingers twice as long: of 20 bones 12 are doubled, 3 are not, and 5 lead from the root. The median
    # bone is a doubled one, so the other 8 stand out
    longer = changes(hand, broken(hand, "elongated"))
    assert longer["lengths"] == pytest.approx(8 / 20)
    assert longer["bends"] == 0.0
    # three of five straight fingers bent by 110 degrees, at one of the three joints of each
    bent = changes(hand, broken(hand, "reversed_joint"))
    assert bent["bends"] == pytest.approx(3 / 15)
    assert bent["lengths"] == 0.0


def test_a_reversed_elbow_and_a_broken_face_are_seen() -> None:
    assert changes(arm(), broken(arm(), "reversed_joint"))["bends"] == 1.0
    assert worse([face()], [broken(face(), "twisted")], face()) > 0.2
    assert worse([face()], [face()], face()) == 0.0


def test_the_vlm_is_asked_in_both_orders(hand: PartRegion) -> None:
    asked = []

    def ask(first: ByteArray, second: ByteArray, question: str) -> float:
        asked.append((int(first.max()), int(second.max()), first.shape, question))
        return 0.9 if second.any() else 0.3

    answer = VlmScreen(ask, "some-vlm", "abc").worse(CHOSEN, REJECTED, hand)
    assert answer == pytest.approx(0.9 - 0.3)
    assert [row[:2] for row in asked] == [(0, 9), (9, 0)]
    assert asked[0][2] == (96, 96, 3)  # twice the hand's longer side
    assert "anatomy of the hand" in asked[0][3]


def test_a_vlm_that_always_says_the_second_says_nothing(hand: PartRegion) -> None:
    assert VlmScreen(lambda *_: 0.8, "some-vlm", "abc").worse(CHOSEN, REJECTED, hand) == 0.0
    with pytest.raises(InputError, match="probability"):
        VlmScreen(lambda *_: 7.0, "some-vlm", "abc").worse(CHOSEN, REJECTED, hand)


def test_fingerprints_know_weights_and_rules() -> None:
    vlms = [
        VlmScreen(lambda *_: 0.5, "v", weights, question) for weights, question in (("a", "x"), ("b", "x"), ("a", "y"))
    ]
    assert len({one.fingerprint for one in vlms}) == 3
    assert screen([], []).fingerprint != LandmarkScreen(lambda _: [], "finder", "0" * 64).fingerprint


def test_a_screen_is_listed_as_an_instrument() -> None:
    vlm = VlmScreen(lambda *_: 0.5, "Some-VLM", "abc")
    listed = instrument(vlm)
    assert (listed.role, listed.name, listed.fingerprint) == ("screen", "Some-VLM", vlm.fingerprint)
