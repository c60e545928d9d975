import numpy as np

from asap.bodies.boxes import part_boxes
from asap.core.vocabulary import region_id


def test_box_of_each_region_that_is_seen() -> None:
    regions = np.zeros((8, 10), dtype=np.uint8)
    regions[2:5, 3:9] = region_id("hand.L")
    regions[7, 0] = region_id("foot.R")
    regions[0, 0] = region_id("object")
    assert part_boxes(regions) == {"hand.L": (3, 2, 9, 5), "foot.R": (0, 7, 1, 8)}
