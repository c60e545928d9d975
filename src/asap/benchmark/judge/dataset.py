"""Labelled pairs for the judge: visible parts, defects with their places, and caption attributes.

Legend: N pairs, S pixels, G = S / 4 cells, P = 7 parts, A attributes. Labels are 1, 0, or -1 for "unknown, ignore".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from asap.benchmark.judge.network import STRIDE
from asap.core.errors import InputError
from asap.core.vocabulary import HIDING_OPERATIONS, PARTS, REGION_PART, REGIONS

__all__ = ["JudgePairs", "LabelledPair", "join", "label_pair", "resize", "stack"]

Bytes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int8]

SEEN_SHARE: Final = 0.002
"""A part that covers at least this share of the image is seen; one that covers none is not."""
TOUCHES: Final[Mapping[str, tuple[str, ...]]] = {
    "hand": ("arm",),
    "arm": ("hand", "torso"),
    "leg": ("foot", "torso"),
    "foot": ("leg",),
    "face": ("neck",),
    "torso": ("arm", "neck", "leg"),
    "neck": ("face", "torso"),
}
"""Parts that an edit may carry along; on the rejected side they are neither surely right nor surely wrong."""
CHANGED_BY: Final[Mapping[str, tuple[str, ...]]] = {"fingers": ("hand", "arm"), "gesture": ("hand", "arm")}
"""Attributes of which an edited part may make the caption untrue."""


@dataclass(frozen=True, kw_only=True)
class LabelledPair:
    """One pair and its labels; in ``JudgePairs`` every field gains a leading N."""

    chosen: Bytes
    """(S, S, 3)."""
    rejected: Bytes
    """(S, S, 3)."""
    visible: Labels
    """(2, P) chosen and rejected: the part is seen."""
    wrong: Labels
    """(2, P)."""
    fails: Labels
    """(2,) the image has wrong anatomy."""
    parts: Bytes
    """(P + 1, G, G) share of each cell that a part, and at the end any person, covers, times 255."""
    touched: Bytes
    """(G, G) share of each cell inside the mask, times 255."""
    attributes: npt.NDArray[np.str_]
    """(2, A) values as text, "?" where unknown."""
    facts: npt.NDArray[np.str_]
    """(5,) kind, part, operation, severity, person."""


@dataclass(frozen=True, kw_only=True)
class JudgePairs(LabelledPair):
    """N labelled pairs."""

    def __len__(self) -> int:
        """N."""
        return len(self.chosen)

    def take(self, index: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> "JudgePairs":
        """The pairs at ``index``."""
        return JudgePairs(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    def fact(self, name: str) -> list[str]:
        """One of kind, part, operation, severity, person for every pair."""
        column = ("kind", "part", "operation", "severity", "person").index(name)
        return [str(value) for value in self.facts[:, column]]


def stack(rows: Iterable[LabelledPair]) -> JudgePairs:
    """N pairs as arrays; raises ``InputError`` when there are none."""
    pairs = list(rows)
    if not pairs:
        raise InputError("the judge needs pairs and got none; build a store with pairs of every split")
    names = [field.name for field in fields(LabelledPair)]
    return JudgePairs(**{name: np.stack([getattr(pair, name) for pair in pairs]) for name in names})


def join(parts: Sequence[JudgePairs]) -> JudgePairs:
    """Several blocks of pairs as one."""
    names = [field.name for field in fields(JudgePairs)]
    return JudgePairs(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def resize(image: Bytes, size: int, *, nearest: bool = False) -> Bytes:
    """(H, W[, 3]) to (size, size[, 3]); the same array when it fits."""
    if image.shape[:2] == (size, size):
        return image
    how = Image.Resampling.NEAREST if nearest else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(image).resize((size, size), how), dtype=np.uint8)


def _cells(mask: npt.NDArray[np.bool_]) -> Bytes:
    """(S, S) to the covered share of each cell (G, G), times 255."""
    grid = mask.shape[0] // STRIDE
    share = mask[: grid * STRIDE, : grid * STRIDE].reshape(grid, STRIDE, grid, STRIDE).mean(axis=(1, 3))
    return np.asarray(np.round(share * 255), dtype=np.uint8)


def _part_maps(regions: Bytes) -> tuple[Bytes, Labels]:
    """(P + 1, G, G) coverage and (P,) whether each part is seen, from a part-id map."""
    masks = {part: np.zeros(regions.shape, dtype=np.bool_) for part in PARTS}
    for value, name in enumerate(REGIONS):
        if name in REGION_PART:
            masks[REGION_PART[name]] |= regions == value
    share = np.array([masks[part].mean() for part in PARTS])
    seen = np.where(share >= SEEN_SHARE, 1, np.where(share == 0, 0, -1)).astype(np.int8)
    person = np.any(list(masks.values()), axis=0)
    return np.stack([*(_cells(masks[part]) for part in PARTS), _cells(person)]), seen


def label_pair(
    *,
    chosen: Bytes,
    rejected: Bytes,
    mask: Bytes,
    regions: Bytes,
    kind: str,
    part: str,
    operation: str,
    severity: int,
    person: str,
    visible_parts: Sequence[str],
    attributes: Mapping[str, str],
    names: Sequence[str],
    size: int,
) -> LabelledPair:
    """Labels of one pair.

    Args:
        chosen: (H, W, 3) the right image.
        rejected: (H, W, 3) the edited one.
        mask: (H, W) 255 where they may differ.
        regions: (H, W) part-id map of the chosen image.
        kind: ``vocabulary.KINDS``; only "defect" is wrong.
        part: the edited part; raises ``InputError`` where it is unknown.
        operation: what was done to it.
        severity: 1 to 3.
        person: id of the person.
        visible_parts: parts that the caption asks for and the camera shows.
        attributes: caption attributes.
        names: attributes to keep, A of them.
        size: S, a multiple of 16.
    """
    _check_part(part)
    parts, seen = _part_maps(resize(regions, size, nearest=True))
    seen[[PARTS.index(name) for name in visible_parts]] = 1
    visible, wrong = np.stack([seen, seen]), np.zeros((2, len(PARTS)), dtype=np.int8)
    texts = np.array([[attributes.get(name, "?") or "none" for name in names]] * 2, dtype="U64").reshape(2, len(names))
    defect = kind == "defect"
    if defect:
        wrong[1, [PARTS.index(name) for name in TOUCHES[part]]] = -1
        wrong[1, PARTS.index(part)] = 1
        if operation in HIDING_OPERATIONS:
            visible[1, PARTS.index(part)] = -1
    if kind != "null_equal":
        for column, name in enumerate(names):
            if part in CHANGED_BY.get(name, ()):
                texts[1, column] = "?"
    return LabelledPair(
        chosen=resize(chosen, size),
        rejected=resize(rejected, size),
        visible=visible,
        wrong=wrong,
        fails=np.array([0, int(defect)], dtype=np.int8),
        parts=parts,
        touched=_cells(resize(mask, size, nearest=True) > 0),
        attributes=texts,
        facts=np.array([kind, part, operation, str(severity), person], dtype="U64"),
    )


def _check_part(part: str) -> None:
    if part not in PARTS:
        raise InputError(f"the judge needs pairs whose part is known, got {part!r}; use pairs of `asap pairs build`")
