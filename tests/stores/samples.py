"""Small made-up pairs for the store tests."""

import numpy as np

from asap.core.records import Edit, GateResult, PairRecord, SceneTruth
from asap.core.seeds import derive, generator

SIZE = 32


def pair(index: int, *, split: str | None = None, size: int = SIZE) -> PairRecord:
    """A pair that depends on ``index`` alone: noise, with a square changed in the rejected image."""
    rng = generator(5, "pair", index)
    chosen = rng.integers(0, 255, (size, size, 3), dtype=np.uint8)
    mask = np.zeros((size, size), np.uint8)
    mask[4:12, 6:20] = 255
    rejected = np.where(mask[..., None] > 0, 255 - chosen, chosen)
    kind = "null_pose" if index % 5 == 4 else "defect"
    return PairRecord(
        uid=f"{derive(5, index):016x}",
        index=index,
        prompt=f"a person, number {index}",
        chosen=chosen,
        rejected=rejected,
        mask=mask,
        regions=(mask // 255) * 6,
        edit=Edit(
            kind=kind,
            part="hand",
            side="left",
            operation="fused" if kind == "defect" else "none",
            severity=1 + index % 3 if kind == "defect" else 0,
            detail={"angle": 0.5},
        ),
        truth=SceneTruth(
            person=f"p{index // 4}",
            category="full_body" if index % 2 else "basic_anatomy",
            caption="a person",
            attributes={"skin": "dark"},
            visible_parts=("hand", "face"),
            seed=derive(5, "seed", index),
        ),
        box=(6, 4, 20, 12),
        gates=GateResult(values={"region_ssim": 0.4 + 0.1 * (index % 2), "background_ssim": 1.0}, reasons=()),
        keypoints=np.array([[1.5, 2.0, 2.0], [0.0, 0.0, 0.0]], np.float32),
        split=split or ("train", "train", "val", "test")[(index // 4) % 4],
        recipe={"source": "bodies"},
        parents=("rig",),
    )


def chunk_pairs(chunk: int, size: int) -> list[PairRecord]:
    """The pairs of one chunk; every seventh index is "rejected"."""
    return [pair(index) for index in range(chunk * size, (chunk + 1) * size) if index % 7 != 6]
