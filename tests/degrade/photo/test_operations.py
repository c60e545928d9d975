"""The battery over every cell of the table, on drawn people."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from asap.core.errors import InputError, UnknownNameError
from asap.core.photos import EditedPhoto, PartRegion
from asap.core.records import ByteArray
from asap.core.vocabulary import OPERATIONS, PARTS
from asap.degrade.photo import METHODS, OPERATION_TABLE, apply, control_edit, sample_edit, unchanged_pair
from tests.degrade.photo import battery
from tests.degrade.photo.drawn import fist, open_hand, person

SWEEP = list(OPERATION_TABLE)
WEIGHTS = {key: entry.weight for key, entry in OPERATION_TABLE.items()}


def scene(part: str) -> tuple[ByteArray, PartRegion, tuple[PartRegion, ...]]:
    image, regions = open_hand() if part == "hand" else person()
    return image, next(r for r in regions if r.part == part), regions


def maker(method: str, operation: str, regions: tuple[PartRegion, ...]) -> battery.Make:
    return lambda image, region, severity, rng: apply(image, region, method, operation, severity, rng, regions=regions)


@cache
def edited(method: str, part: str, operation: str, severity: int = 2, seed: int = 0) -> EditedPhoto:
    image, region, regions = scene(part)
    return maker(method, operation, regions)(image, region, severity, np.random.default_rng(seed))


def test_sweep_covers_the_table() -> None:
    assert len(SWEEP) >= 33
    assert {method for method, _, _ in SWEEP} == set(METHODS)
    assert {part for _, part, _ in SWEEP} == set(PARTS) - {"neck"}
    assert {operation for _, _, operation in SWEEP} <= set(OPERATIONS)
    assert all(weight > 0 for weight in WEIGHTS.values())
    assert all(cell.source for cell in OPERATION_TABLE.values())


def test_misshapen_and_proportions_outweigh_extra_fingers() -> None:
    total = sum(WEIGHTS.values())
    shapes = sum(w for (_, _, o), w in WEIGHTS.items() if o in ("misshapen", "elongated", "shortened", "thickened"))
    assert shapes / total > 0.5
    assert WEIGHTS["graft", "hand", "extra"] / total < 0.05


@pytest.mark.parametrize(("method", "part", "operation"), SWEEP)
class TestOperation:
    def test_sound(self, method: str, part: str, operation: str) -> None:
        for severity in (1, 2, 3):
            pair = edited(method, part, operation, severity)
            battery.sound(pair, scene(part)[0])
            assert (pair.edit.kind, pair.edit.part, pair.edit.operation) == ("defect", part, operation)
            assert pair.edit.severity == severity
            assert pair.edit.detail["method"] == method

    def test_input_and_seed(self, method: str, part: str, operation: str) -> None:
        image, region, regions = scene(part)
        battery.leaves_input(maker(method, operation, regions), image, region)
        battery.repeats(maker(method, operation, regions), image, region)

    def test_chosen_is_the_photograph(self, method: str, part: str, operation: str) -> None:
        battery.chosen_is_the_photograph(edited(method, part, operation), scene(part)[0])

    def test_the_change_is_on_the_part(self, method: str, part: str, operation: str) -> None:
        """What changes lies within the part or no further from it than the part is large."""
        _, region, _ = scene(part)
        pair = edited(method, part, operation, 3)
        away = ndimage.distance_transform_edt(~region.mask)
        assert away[pair.mask > 0].max() < np.hypot(region.box[2] - region.box[0], region.box[3] - region.box[1])
        assert region.mask[pair.mask > 0].any()

    @pytest.mark.slow
    def test_severity_grows_the_change(self, method: str, part: str, operation: str) -> None:
        image, region, regions = scene(part)
        one, two, three = battery.grows(maker(method, operation, regions), image, region, range(12))
        assert one < two < three


@pytest.mark.parametrize("operation", ["missing", "extra", "fused", "misshapen"])
def test_a_fist_is_woven(operation: str) -> None:
    """Curled fingers have no free finger but the thumb; the row of four is closed, widened or joined."""
    image, (hand,) = fist()
    method = next(m for m, p, o in WEIGHTS if (p, o) == ("hand", operation))
    for seed in range(3):
        pair = apply(image, hand, method, operation, 2, np.random.default_rng(seed), regions=(hand,))
        battery.sound(pair, image)


class TestNulls:
    @pytest.mark.parametrize("part", ["hand", "face", "arm", "leg", "foot", "torso"])
    def test_touched_without_harm(self, part: str) -> None:
        image, region, _ = scene(part)
        most = max(battery.change(edited(m, p, o, 3)) for m, p, o in WEIGHTS if p == part)
        for seed in range(6):
            pair = control_edit(image, region, np.random.default_rng(seed))
            battery.sound(pair, image)
            assert (pair.edit.kind, pair.edit.operation, pair.edit.severity) == ("null_pose", "none", 0)
            assert battery.change(pair) < most

    def test_part_without_keypoints_is_remade(self) -> None:
        image, region, _ = scene("hand")
        bare = replace(region, keypoints=np.zeros((0, 3), np.float32), keypoint_names=())
        pair = control_edit(image, bare, np.random.default_rng(0))
        battery.sound(pair, image)
        assert pair.edit.detail == {"way": "remade"}

    def test_a_part_looked_up_again_does_not_tear_along_its_rim(self) -> None:
        image, region, _ = scene("hand")
        bare = replace(region, keypoints=np.zeros((0, 3), np.float32), keypoint_names=())
        pair = control_edit(image, bare, np.random.default_rng(0))
        gap = np.abs(pair.chosen.astype(int) - pair.rejected).max(axis=2)
        inward = ndimage.distance_transform_edt(region.mask)
        outward = ndimage.distance_transform_edt(~region.mask)
        rim = (inward <= 1.5) & (outward <= 1.5)
        assert gap[rim].mean() < 0.5 * gap[(inward > 4) & (inward < 12)].mean()

    def test_equal(self) -> None:
        image, region, _ = scene("face")
        pair = unchanged_pair(image, region)
        np.testing.assert_array_equal(pair.chosen, pair.rejected)
        np.testing.assert_array_equal(pair.chosen, image)
        np.testing.assert_array_equal(pair.mask > 0, region.mask)
        assert pair.edit.kind == "null_equal"


class TestSampling:
    def test_follows_the_weights(self) -> None:
        _, regions = open_hand()
        rng = np.random.default_rng(0)
        drawn = [sample_edit(regions, rng)[1:3] for _ in range(3000)]
        cells = {(m, o): w for (m, p, o), w in WEIGHTS.items() if p == "hand"}
        total = sum(cells.values())
        for (method, operation), weight in cells.items():
            share = drawn.count((method, operation)) / len(drawn)
            assert share == pytest.approx(weight / total, abs=0.03)

    def test_severities(self) -> None:
        _, regions = person()
        drawn = [sample_edit(regions, np.random.default_rng(seed))[3] for seed in range(300)]
        assert [drawn.count(s) / 300 for s in (1, 2, 3)] == pytest.approx([0.25, 0.4, 0.35], abs=0.08)

    def test_narrowed(self) -> None:
        _, regions = person()
        region, method, operation, _ = sample_edit(
            regions, np.random.default_rng(0), methods=("graft",), operations=("extra",)
        )
        assert (region.part, method, operation) == ("face", "graft", "extra")

    def test_hand_without_fingers_is_left_out(self) -> None:
        _, regions = person()
        hand = next(r for r in regions if r.part == "hand")
        with pytest.raises(InputError, match="no operation"):
            sample_edit([hand], np.random.default_rng(0))

    def test_small_part_is_left_out(self) -> None:
        _, (hand, _) = open_hand()
        with pytest.raises(InputError, match="no operation"):
            sample_edit([replace(hand, box=(0, 0, 20, 20))], np.random.default_rng(0))

    def test_unknown_names(self) -> None:
        _, regions = open_hand()
        with pytest.raises(UnknownNameError, match="paint"):
            sample_edit(regions, np.random.default_rng(0), methods=("paint",))
        with pytest.raises(UnknownNameError, match="exploded"):
            sample_edit(regions, np.random.default_rng(0), operations=("exploded",))


Change = Callable[[PartRegion], PartRegion]


class TestErrors:
    @pytest.mark.parametrize(
        ("operation", "change", "match"),
        [
            ("elongated", lambda r: replace(r, box=(10, 10, 20, 20)), "10x10 pixels"),
            ("elongated", lambda r: replace(r, mask=r.mask[:100]), "one size"),
            ("elongated", lambda r: replace(r, keypoints=r.keypoints * [1, 1, 0]), "no finger"),
            ("duplicated", lambda r: replace(r, cut=True), "cut"),
            ("duplicated", lambda r: replace(r, keypoints=r.keypoints * [1, 1, 0]), "wrist"),
        ],
    )
    def test_geometry(self, operation: str, change: Change, match: str) -> None:
        image, (hand, _) = open_hand()
        method = next(m for m, p, o in WEIGHTS if (p, o) == ("hand", operation))
        with pytest.raises(InputError, match=match):
            apply(image, change(hand), method, operation, 2, np.random.default_rng(0))

    def test_mirrored_hand_needs_its_arm(self) -> None:
        image, (hand, _) = open_hand()
        with pytest.raises(InputError, match="other hand"):
            apply(image, hand, "graft", "swapped_side", 2, np.random.default_rng(0), regions=(hand,))

    def test_what_makes_no_sense(self) -> None:
        image, (hand, arm) = open_hand()
        rng = np.random.default_rng(0)
        with pytest.raises(InputError, match="choose one of: misshapen by warp"):
            apply(image, arm, "warp", "fused", 2, rng)
        with pytest.raises(InputError, match="no fused of a hand by remove"):
            apply(image, hand, "remove", "fused", 2, rng)
        with pytest.raises(InputError, match="severity"):
            apply(image, hand, "warp", "fused", 4, rng)
        with pytest.raises(InputError, match="joints"):
            apply(image, arm, "warp", "misshapen", 2, rng)
        with pytest.raises(UnknownNameError, match="exploded"):
            apply(image, hand, "warp", "exploded", 2, rng)

    def test_image_of_the_wrong_kind(self) -> None:
        image, (hand, _) = open_hand()
        with pytest.raises(InputError, match="uint8"):
            apply(image.astype(np.float32), hand, "warp", "fused", 2, np.random.default_rng(0))
