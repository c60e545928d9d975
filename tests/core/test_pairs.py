"""Boxes and splits of pair records."""

from collections import Counter

import numpy as np

from asap.core.pairs import box_of, split_of


def test_box() -> None:
    mask = np.zeros((20, 30), dtype=np.uint8)
    assert box_of(mask) == (0, 0, 0, 0)
    mask[4:9, 7:27] = 255
    assert box_of(mask) == (7, 4, 27, 9)


def test_splits_have_their_shares_and_follow_the_group() -> None:
    counts = Counter(split_of(3, f"person-{number}") for number in range(5000))
    assert 0.82 < counts["train"] / 5000 < 0.86
    assert 0.05 < counts["val"] / 5000 < 0.07
    assert split_of(3, "one") == split_of(3, "one")
    assert {split_of(seed, "one") for seed in range(60)} == {"train", "val", "test"}
