from collections.abc import Callable

import numpy as np
import pytest

from asap.benchmark.judge import JudgePairs, label_pair, stack
from asap.core.vocabulary import region_id

SIZE = 64
NAMES = ("fingers", "skin")


def draw_pair(index: int, kind: str, person: str) -> dict[str, object]:
    """A synthetic hand: a palm with 2 to 4 straight fingers; the defect is a thick bar across one of them."""
    draw = np.random.default_rng(index)
    count, left = int(draw.integers(2, 5)), int(draw.integers(6, 14))
    skin = ("light", "dark")[index % 2]
    tone = np.array([220, 170, 140] if skin == "light" else [120, 80, 60])
    image = np.full((SIZE, SIZE, 3), draw.integers(20, 60), np.uint8)
    regions = np.zeros((SIZE, SIZE), np.uint8)
    spots = [(slice(36, 56), slice(left, left + 36))]
    spots += [(slice(12, 36), slice(left + 9 * k, left + 9 * k + 5)) for k in range(count)]
    for spot in spots:
        image[spot], regions[spot] = tone, region_id("hand.L")
    image = np.clip(image + draw.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
    rejected, mask = image.copy(), np.zeros((SIZE, SIZE), np.uint8)
    if kind != "null_equal":
        top = int(draw.integers(14, 24))
        spot = (slice(top, top + 6), slice(left - 5, left + 16))
        mask[spot] = 255
        rejected[spot] = tone if kind == "defect" else image[spot][:, ::-1]
    return {
        "chosen": image,
        "rejected": rejected,
        "mask": mask,
        "regions": regions,
        "kind": kind,
        "part": "hand",
        "operation": ("extra", "split")[index % 3 == 0] if kind == "defect" else "none",
        "severity": 1 + index % 3 if kind == "defect" else 0,
        "person": person,
        "visible_parts": ("hand",),
        "attributes": {"fingers": str(count), "skin": skin},
    }


@pytest.fixture(scope="session")
def make_pairs() -> Callable[[int, int], JudgePairs]:
    """``make_pairs(n, first)``: n labelled pairs, every sixth a null edit."""

    def make(n: int, first: int) -> JudgePairs:
        rows = [draw_pair(i, "null_pose" if i % 6 == 0 else "defect", f"p{i // 4}") for i in range(first, first + n)]
        return stack(label_pair(names=NAMES, size=SIZE, **row) for row in rows)  # type: ignore[arg-type]

    return make
