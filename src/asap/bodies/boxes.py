"""Boxes of body parts, read off the part-id map."""

import numpy as np

from asap.core.records import ByteArray
from asap.core.vocabulary import REGION_PART, region_id

__all__ = ["part_boxes"]


def part_boxes(regions: ByteArray) -> dict[str, tuple[int, int, int, int]]:
    """Box of every body region in the part-id map ``regions`` (H, W): x0, y0, x1, y1 in pixels, end exclusive.

    Keys are names of ``vocabulary.REGIONS`` such as ``hand.L``; regions that are not seen are absent.
    """
    boxes = {}
    for name in REGION_PART:
        rows, columns = np.nonzero(regions == region_id(name))
        if len(rows):
            boxes[name] = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    return boxes
