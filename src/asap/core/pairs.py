"""The one place where a pair record is assembled: its box, prompt and split follow from the other facts."""

from collections.abc import Mapping

import numpy as np

from asap.core.records import BoolArray, ByteArray, Edit, FloatArray, GateResult, PairRecord, SceneTruth
from asap.core.seeds import derive

__all__ = ["assemble_pair", "box_of", "split_of"]


def box_of(mask: ByteArray | BoolArray) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 in pixels of what is set in ``mask`` (H, W), end exclusive; zeros for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return (0, 0, 0, 0)
    return (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def split_of(seed: int, group: str) -> str:
    """train, val (6 %) or test (10 %); all pairs of one ``group`` (a person, a photograph) are in the same split."""
    share = derive(seed, "split", group) % 1000
    return "val" if share < 60 else "test" if share < 160 else "train"


def assemble_pair(
    *,
    uid: str,
    index: int,
    chosen: ByteArray,
    rejected: ByteArray,
    mask: ByteArray,
    regions: ByteArray,
    edit: Edit,
    truth: SceneTruth,
    gates: GateResult,
    keypoints: FloatArray,
    split: str,
    recipe: Mapping[str, float | int | str],
    source: str = "",
    parents: tuple[str, ...] = (),
) -> PairRecord:
    """The record of a pair; see ``PairRecord`` for shapes and units. The prompt is the caption of ``truth``."""
    return PairRecord(
        uid=uid,
        index=index,
        prompt=truth.caption,
        chosen=chosen,
        rejected=rejected,
        mask=mask,
        regions=regions,
        edit=edit,
        truth=truth,
        box=box_of(mask),
        gates=gates,
        keypoints=keypoints,
        split=split,
        recipe=dict(recipe),
        source=source,
        parents=parents,
    )
