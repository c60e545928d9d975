"""What would look pasted is not made: ends cut off straight, copies that float, slits, ghosts, fur."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from asap.core.errors import InputError
from asap.core.photos import PartRegion
from asap.core.records import BoolArray
from asap.degrade.photo import apply, limbs
from asap.degrade.photo.finger_warps import bones
from asap.degrade.photo.fingers import fingers
from asap.degrade.photo.limb_warp import _slits
from asap.degrade.photo.whole_hand import _attached, _copy, _front
from asap.degrade.photo.window import Window
from tests.degrade.photo.drawn import fist, open_hand, person, region


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def arm_and_hand(mask: BoolArray | None = None) -> tuple[PartRegion, PartRegion, tuple[PartRegion, ...]]:
    """The drawn arm, its hand (with another mask where one is given), and all parts."""
    _, parts = person()
    arm, hand = (next(part for part in parts if part.part == name) for name in ("arm", "hand"))
    if mask is not None:
        hand = region("hand", "left", mask, {"left_hand_root": (345.0, 320.0)})
    return arm, hand, (*(part for part in parts if part.part not in ("hand",)), hand)


def ellipse(x: float, y: float, across: float, down: float) -> BoolArray:
    rows, columns = np.mgrid[:560, :520]
    return np.asarray(((columns - x) / across) ** 2 + ((rows - y) / down) ** 2 < 1)


class TestLimbs:
    def test_a_wide_hand_goes_with_its_arm_as_a_whole(self) -> None:
        arm, hand, parts = arm_and_hand(ellipse(350, 345, 50, 26))
        window = Window(person()[0], arm, rng(), also=[hand], margin=1.0)
        layer = limbs.elongated(window, 1, rng(), parts).layers[0]
        spots = np.rint(layer.source[layer.share > 0.5]).astype(int)
        seen = np.zeros(window.shape, dtype=bool)
        seen[spots[:, 1].clip(0, seen.shape[0] - 1), spots[:, 0].clip(0, seen.shape[1] - 1)] = True
        inner = ndimage.binary_erosion(window.crop(hand.mask), iterations=4)
        assert ndimage.binary_dilation(seen)[inner].mean() > 0.97

    def test_nothing_is_painted_beyond_the_end_of_an_open_limb(self) -> None:
        arm, hand, parts = arm_and_hand()
        window = Window(person()[0], arm, rng(), also=[hand], margin=1.0)
        own = limbs.limb(window, parts, whole=True)
        last = len(own.curve.points) - 1
        assert own.ends_open
        held = limbs._ends(own, np.array([0.5 * last, last - 2.0, last, last + 1.0], dtype=np.float32))
        np.testing.assert_allclose(held, [1, 1, 0, 0])

    def test_a_hand_that_the_edge_cuts_is_not_carried_inwards(self) -> None:
        arm, hand, parts = arm_and_hand()
        parts = (*parts[:-1], replace(hand, cut=True))
        for operation, method in (("elongated", "warp"), ("duplicated", "graft")):
            with pytest.raises(InputError, match="edge cuts the hand"):
                apply(person()[0], arm, method, operation, 1, rng(), regions=parts)

    def test_a_hand_that_lies_elsewhere_is_not_torn_off(self) -> None:
        arm, _, parts = arm_and_hand(ellipse(240, 300, 16, 16) | ellipse(347, 345, 14, 24))
        with pytest.raises(InputError, match="does not follow"):
            apply(person()[0], arm, "warp", "elongated", 1, rng(), regions=parts)

    def test_a_limb_before_its_own_body_is_not_taken_away(self) -> None:
        """Shirt and chest behind it would be made up; before another person or the street it may go."""
        arm, hand, parts = arm_and_hand()
        rest = next(part for part in parts if part.part == "torso")
        behind = replace(rest, mask=~(arm.mask | hand.mask))
        with pytest.raises(InputError, match="behind the arm cannot be reconstructed"):
            apply(person()[0], arm, "warp", "elongated", 1, rng(), regions=(arm, behind, hand))
        found = apply(person()[0], arm, "warp", "elongated", 1, rng(), regions=(arm, replace(behind, person=1), hand))
        assert found.edit.operation == "elongated"

    def test_the_fuzz_of_a_rim_is_smoothed_before_it_is_stretched(self) -> None:
        arm, hand, parts = arm_and_hand()
        window = Window(person()[0], arm, rng(), also=[hand], margin=1.0)
        own = limbs.limb(window, parts)
        fuzz = rng().random(window.shape) < 0.5
        rim = ndimage.binary_dilation(window.mask, iterations=2) & ~ndimage.binary_erosion(window.mask, iterations=2)
        window.share = np.where(rim, fuzz, window.mask).astype(np.float32)
        even = limbs._smooth_coverage(window, own)
        assert np.abs(np.diff(even, axis=0)).sum() < 0.7 * np.abs(np.diff(window.share, axis=0)).sum()
        assert abs(float(even.sum() / window.mask.sum()) - 1) < 0.1


class TestHands:
    def test_a_hand_before_its_own_colour_is_left_alone(self) -> None:
        """Another hand behind it: what a change bares would be drawn from that hand."""
        image, (hand, arm) = open_hand()
        other = image.copy()
        near = ndimage.binary_dilation(hand.mask, iterations=40) & (np.arange(300) > 150) & ~hand.mask
        other[near] = np.median(image[hand.mask], axis=0)
        apply(image, hand, "graft", "duplicated", 1, rng(), regions=(hand, arm))
        with pytest.raises(InputError, match="has the colour of its skin"):
            apply(other, hand, "graft", "duplicated", 1, rng(), regions=(hand, arm))

    def test_a_slit_at_a_finger_is_flesh_and_a_gap_slits_fingers_is_not(self) -> None:
        image, (hand,) = fist()
        window = Window(image, hand, rng())
        bare = np.zeros(window.shape, dtype=bool)
        y, x = np.argwhere(ndimage.distance_transform_edt(window.mask) > 30)[0]
        bare[y - 20 : y + 20, x : x + 3] = True
        nothing = np.zeros(window.shape, dtype=np.float32)
        inner = bare & ndimage.binary_erosion(bare, np.ones((3, 1)))
        assert _slits(window, bare, nothing)[inner].all()
        thumb = np.zeros(window.shape, dtype=bool)
        thumb[: int(window.points(["left_thumb2"])[0, 1])] = True
        assert not _slits(window, thumb, nothing)[thumb & ~window.mask].any()

    def test_a_copy_that_does_not_touch_the_hand_is_refused(self) -> None:
        image, (hand, arm) = open_hand()
        window = Window(image, hand, rng())
        tube = next(one for one in fingers(window) if one.name == "thumb")
        front = _front(window, (hand, arm))
        layer, root = _copy(window, tube, front, -0.5, rng())
        assert len(bones(tube.joints)[0]) == 3
        assert _attached(layer, root, tube, window.share)
        assert not _attached(layer, tube.radius**2, tube, window.share)
        assert not _attached(layer, root, tube, np.roll(window.share, 200, axis=0) * 0)
