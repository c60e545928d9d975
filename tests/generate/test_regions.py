"""The box that is regenerated: with a margin around a small part, a random piece of a large one."""

import numpy as np

from asap.generate.regions import LARGEST, region_box


def test_a_large_part_is_cut_to_pieces() -> None:
    seen = np.ones((40, 40), dtype=bool)
    places = [region_box(seen, np.random.default_rng(seed)) > 0 for seed in range(8)]
    for place in places:
        assert LARGEST <= place.mean() < LARGEST * 1.3
    assert len({place.tobytes() for place in places}) > 4


def test_a_small_part_gets_a_margin() -> None:
    seen = np.zeros((40, 40), dtype=bool)
    seen[10:20, 20:30] = True
    place = region_box(seen, np.random.default_rng(0)) > 0
    assert place[8:22, 18:32].all()
    assert place.sum() == 14 * 14
