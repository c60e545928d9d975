"""What every way to break a photograph must hold, whatever it does: one battery for all of them."""

from collections.abc import Callable

import numpy as np

from asap.core.photos import EditedPhoto, PartRegion
from asap.core.records import ByteArray

Make = Callable[[ByteArray, PartRegion, int, np.random.Generator], EditedPhoto]
"""(image, region, severity, generator) to a pair."""


def sound(pair: EditedPhoto, image: ByteArray) -> None:
    """Shapes and types, and that both sides are bit-identical outside a mask that is not empty."""
    for side in (pair.chosen, pair.rejected):
        assert side.shape == image.shape
        assert side.dtype == np.uint8
    assert pair.mask.shape == image.shape[:2]
    assert pair.mask.dtype == np.uint8
    assert set(np.unique(pair.mask)) == {0, 255}
    outside = pair.mask == 0
    np.testing.assert_array_equal(pair.chosen[outside], pair.rejected[outside])
    assert (pair.chosen != pair.rejected).any()


def leaves_input(make: Make, image: ByteArray, region: PartRegion) -> None:
    """Neither the image nor the region is changed in place, and no side is a view of the image."""
    before, mask, points = image.copy(), region.mask.copy(), region.keypoints.copy()
    pair = make(image, region, 2, np.random.default_rng(0))
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(region.mask, mask)
    np.testing.assert_array_equal(region.keypoints, points)
    assert not np.shares_memory(pair.chosen, image)
    assert not np.shares_memory(pair.rejected, image)


def repeats(make: Make, image: ByteArray, region: PartRegion) -> None:
    """The same seed gives the same pair, in a loop, after others and on read-only arrays; another seed another."""
    image.setflags(write=False)
    try:
        first = [make(image, region, 2, np.random.default_rng(seed)) for seed in (3, 4)]
        again = [make(image, region, 2, np.random.default_rng(seed)) for seed in (4, 3)][::-1]
    finally:
        image.setflags(write=True)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.chosen, other.chosen)
        np.testing.assert_array_equal(one.rejected, other.rejected)
        np.testing.assert_array_equal(one.mask, other.mask)
        assert one.edit == other.edit
    assert (first[0].rejected != first[1].rejected).any()


def chosen_is_the_photograph(pair: EditedPhoto, image: ByteArray) -> None:
    """The right side shows the image itself: its traces of resampling are small and only about the mask."""
    difference = np.abs(pair.chosen.astype(np.int16) - image.astype(np.int16))
    assert difference.mean() < 3
    assert np.median(difference[pair.mask > 0]) < 10
    rows, columns = np.flatnonzero(pair.mask.any(axis=1)), np.flatnonzero(pair.mask.any(axis=0))
    far = np.ones(image.shape[:2], dtype=bool)
    far[max(0, rows[0] - 40) : rows[-1] + 41, max(0, columns[0] - 40) : columns[-1] + 41] = False
    np.testing.assert_array_equal(pair.chosen[far], image[far])


def change(pair: EditedPhoto) -> float:
    """Sum of the largest channel's absolute differences, in grey levels of whole pixels."""
    return float(np.abs(pair.chosen.astype(np.int16) - pair.rejected.astype(np.int16)).max(axis=2).sum())


def grows(make: Make, image: ByteArray, region: PartRegion, seeds: range) -> list[float]:
    """Mean change over ``seeds`` at each severity; the draws are shared, so that severity alone differs."""
    return [
        float(np.mean([change(make(image, region, s, np.random.default_rng(seed))) for seed in seeds]))
        for s in (1, 2, 3)
    ]
