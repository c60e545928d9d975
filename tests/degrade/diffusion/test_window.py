from dataclasses import replace

import numpy as np
import pytest

from asap.core.errors import InputError, UnknownNameError
from asap.core.photos import PartRegion
from asap.core.records import ByteArray
from asap.degrade.diffusion.window import (
    InpaintTask,
    Window,
    feather,
    grow,
    inpaint_both,
    margin,
    touched_area,
    window_around,
)
from tests.degrade.diffusion.conftest import FakeInpainter, finished


def box_mask(shape: tuple[int, int], x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


@pytest.mark.parametrize(
    ("box", "expected", "size"),
    [
        ((60, 40, 80, 60), (50, 30, 90, 70), (64, 64)),  # in the middle
        ((0, 0, 20, 20), (0, 0, 40, 40), (64, 64)),  # shifted off the corner
        ((150, 90, 160, 120), (100, 60, 160, 120), (64, 64)),  # at the other corner
        ((0, 20, 160, 40), (0, 0, 160, 120), (48, 64)),  # as wide as the image: no square is left
        ((80, 60, 82, 62), (73, 53, 89, 69), (64, 64)),  # tiny: enlarged four times and no more
    ],
)
def test_window(box: tuple[int, int, int, int], expected: tuple[int, ...], size: tuple[int, int]) -> None:
    window = window_around(box_mask((120, 160), *box), native=64, multiple=8, context=2.0)
    assert window.box == expected
    assert (window.height, window.width) == size


def test_an_empty_mask_has_no_window() -> None:
    with pytest.raises(InputError, match="empty"):
        window_around(np.zeros((8, 8), dtype=bool), 64, 8)


def test_points_go_where_their_pixels_go() -> None:
    window = Window(box=(10, 20, 30, 60), height=80, width=80)
    places = window.place(np.array([[10.0, 20.0, 0.5], [30.0, 60.0, 1.0], [20.0, 30.0, 0.0]], dtype=np.float32))
    assert places.tolist() == [[0.0, 0.0, 0.5], [80.0, 80.0, 1.0], [40.0, 20.0, 0.0]]


def test_cut_and_back_without_scale_is_the_photograph(photo: ByteArray) -> None:
    window = Window(box=(8, 16, 72, 80), height=64, width=64)
    cut = window.cut(photo)
    assert (cut == photo[16:80, 8:72]).all()
    assert (window.paste(cut, photo) == photo).all()


def test_mask_by_majority() -> None:
    window = Window(box=(0, 0, 4, 4), height=8, width=8)
    assert window.cut_mask(box_mask((4, 4), 1, 1, 3, 3)).sum() == 16


def test_grow_is_a_disc() -> None:
    mask = np.zeros((9, 9), dtype=bool)
    mask[4, 4] = True
    grown = grow(mask, 2.0)
    assert grown.sum() == 13  # the lattice points within two of a point
    assert grown[4, 2]
    assert not grown[2, 2]
    assert not grow(np.zeros((4, 4), dtype=bool), 3).any()


def test_feather_rises_inwards() -> None:
    weights = feather(box_mask((1, 20), 5, 0, 15, 1), 1)[0]
    # one pixel from outside: depth 1 / 2, smooth step 0.5; further in: 1
    assert weights.tolist() == [0.0] * 5 + [0.5] + [1.0] * 8 + [0.5] + [0.0] * 5
    assert (feather(np.ones((3, 3), dtype=bool), 5) == 1).all()


def test_the_edge_of_the_image_is_no_rim() -> None:
    weights = feather(box_mask((1, 10), 0, 0, 5, 1), 2)[0]
    assert weights[0] == 1
    assert 0 < weights[4] < 1


def test_other_parts_are_kept_unless_joined(hand: PartRegion) -> None:
    x0, y0, x1, y1 = hand.box
    wide = margin(hand.mask)
    beside = box_mask(hand.mask.shape, x1, y0, x1 + 20, y1)
    for part, side, person, kept in (("face", "none", 0, True), ("arm", "left", 0, False), ("arm", "left", 1, True)):
        other = replace(hand, part=part, side=side, person=person, mask=beside)
        area = touched_area(hand, [hand, other])
        assert area[hand.mask].all()
        assert area[y0 + 5, x1 + wide - 1] != kept
        assert area[y0 + 5, x0 - wide]


def test_a_part_overlapped_by_another_stays_whole(hand: PartRegion) -> None:
    face = replace(hand, part="face", side="none", mask=np.ones_like(hand.mask))
    assert (touched_area(hand, [face]) == hand.mask).all()


def make_task(photo: ByteArray, hand: PartRegion, seam: str = "feather") -> InpaintTask:
    return InpaintTask(
        photo=photo,
        area=touched_area(hand, ()),
        prompt="p",
        negative="n",
        strength=0.5,
        seed=3,
        seam=seam,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("seam", ["feather", "ring"])
def test_outside_is_the_photograph_to_the_bit(photo: ByteArray, hand: PartRegion, seam: str) -> None:
    task, inpainter = make_task(photo, hand, seam), FakeInpainter()
    window = window_around(task.area, 64, 8)
    chosen, rejected, area = finished(inpaint_both(task, inpainter, window), inpainter)
    assert (chosen[~area] == photo[~area]).all()
    assert (rejected[~area] == photo[~area]).all()
    assert (chosen != rejected).any(axis=2)[hand.mask].mean() > 0.9
    assert area[task.area].all()
    assert (area.sum() > task.area.sum()) == (seam == "ring")


def test_the_chosen_side_carries_the_trace_too(photo: ByteArray, hand: PartRegion) -> None:
    flat = np.full_like(photo, 100)
    task, inpainter = make_task(flat, hand), FakeInpainter()
    chosen, _, area = finished(inpaint_both(task, inpainter, window_around(task.area, 64, 8)), inpainter)
    deep = feather(area, margin(area)) == 1
    assert (chosen[deep] == 103).all()


def test_a_ring_is_painted_on_both_sides_from_one_seed(photo: ByteArray, hand: PartRegion) -> None:
    inpainter, task = FakeInpainter(), make_task(photo, hand, "ring")
    finished(inpaint_both(task, inpainter, window_around(task.area, 64, 8)), inpainter)
    first, *rings = inpainter.calls
    assert len(rings) == 2
    assert rings[0]["seed"] == rings[1]["seed"] != first["seed"]
    assert np.array_equal(rings[0]["mask"], rings[1]["mask"])  # type: ignore[arg-type]
    assert not np.array_equal(rings[0]["image"], rings[1]["image"])  # type: ignore[arg-type]


def test_an_unknown_seam_is_refused(photo: ByteArray, hand: PartRegion) -> None:
    with pytest.raises(UnknownNameError, match="feather, ring"):
        make_task(photo, hand, "stitch")
    with pytest.raises(InputError, match="context"):
        replace(make_task(photo, hand), context=0.5)
