"""Break the anatomy of one part of a posed body and leave all other parts unchanged.

Phase I of arXiv:2605.25759 does this with inpainting and ControlNet. This package edits the mesh, so the ground truth
is exact.
"""

from collections.abc import Sequence

import numpy as np

from asap.core.errors import InputError, UnknownNameError
from asap.core.records import Edit, EditedBody, PosedBody
from asap.core.vocabulary import OPERATIONS, PARTS, SEVERITIES, SIDES
from asap.degrade.anatomy import part_weight
from asap.degrade.editable_body import EditableBody
from asap.degrade.operation_table import OPERATION_TABLE, SEVERITY_SHARES

__all__ = ["OPERATION_TABLE", "SEVERITY_SHARES", "apply", "sample_edit"]

_PAIRED = ("hand", "arm", "leg", "foot")


def sample_edit(
    body: PosedBody,
    candidates: Sequence[tuple[str, str]],
    rng: np.random.Generator,
    *,
    operations: Sequence[str] | None = None,
) -> tuple[str, str, str, int]:
    """Sample (part, side, operation, severity) for one of ``candidates`` (part, side), by the weights of the table.

    Candidates without skin in ``body`` are skipped. ``operations`` limits the choice. The two sides of a part share its
    weight.

    Raises:
        InputError: no operation fits.
        UnknownNameError: a part, side or operation is not in the vocabulary.
    """
    for part, side in candidates:
        _check_place(part, side)
    for operation in operations or ():
        _known("operation", operation, OPERATIONS)
    allowed = set(OPERATIONS if operations is None else operations)
    sides: dict[str, list[str]] = {}
    editable = EditableBody(body)
    for part, side in dict.fromkeys(candidates):
        if _present(editable, part, side):
            sides.setdefault(part, []).append(side)
    cells = [cell for cell in OPERATION_TABLE if cell[0] in sides and cell[1] in allowed]
    if not cells:
        raise InputError(
            f"no operation fits the candidates {list(candidates)} and operations {sorted(allowed)}; "
            "offer more of either"
        )
    weights = np.array([OPERATION_TABLE[cell].weight for cell in cells])
    part, operation = cells[int(rng.choice(len(cells), p=weights / weights.sum()))]
    side = sides[part][int(rng.integers(len(sides[part])))]
    severity = int(rng.choice(SEVERITIES, p=SEVERITY_SHARES))
    return part, side, operation, severity


def apply(body: PosedBody, part: str, side: str, operation: str, severity: int, rng: np.random.Generator) -> EditedBody:
    """Break ``part`` on ``side`` ("none" for face, torso and neck) by ``operation``. ``body`` itself does not change.

    A higher severity (1 to 3) makes a larger change. New vertices follow the old ones, which keep their indices. A
    cut-off piece leaves unused vertices behind. The result keeps the bone poses of the unedited person.

    Raises:
        UnknownNameError: a name is not in the vocabulary.
        InputError: the operation does not fit the part, the severity is not 1, 2 or 3, or the rig lacks a bone.
    """
    _check_place(part, side)
    _known("operation", operation, OPERATIONS)
    if (part, operation) not in OPERATION_TABLE:
        fits = ", ".join(o for p, o in OPERATION_TABLE if p == part)
        raise InputError(f"operation {operation!r} does not fit {part!r}; choose one of: {fits}")
    if severity not in SEVERITIES:
        raise InputError(f"severity must be 1, 2 or 3, not {severity}")
    editable = EditableBody(body)
    detail = OPERATION_TABLE[part, operation].function(editable, part, side, severity, rng)
    edit = Edit(kind="defect", part=part, side=side, operation=operation, severity=severity, detail=detail)
    return editable.finish(edit)


def _known(kind: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        raise UnknownNameError(kind, name, names)


def _check_place(part: str, side: str) -> None:
    _known("part", part, PARTS)
    _known("side", side, SIDES)
    if (part in _PAIRED) == (side == "none"):
        wanted = "left or right" if part in _PAIRED else "none"
        raise InputError(f"the side of {part} must be {wanted}, not {side!r}")


def _present(body: EditableBody, part: str, side: str) -> bool:
    """Whether the mesh has skin of the part. A close-up may show an arm only."""
    return bool((part_weight(body, part, side) > 0.5).sum() > 20)
