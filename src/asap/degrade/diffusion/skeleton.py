"""Break one part of a photograph by inpainting it to fit a drawn skeleton with an error (arXiv:2605.25759)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from scipy import ndimage

from asap.core.errors import InputError
from asap.core.photos import PartRegion
from asap.core.records import BoolArray, ByteArray, Edit, FloatArray
from asap.core.vocabulary import SEVERITIES
from asap.degrade.diffusion.batches import Painting
from asap.degrade.diffusion.editable_skeleton import EditableSkeleton, people_of
from asap.degrade.diffusion.inpainter import Inpainter
from asap.degrade.diffusion.openpose import DRAWN, EDGES, draw_skeletons
from asap.degrade.diffusion.pair import check_region, finish_pair, sample_seed
from asap.degrade.diffusion.prompts import negative_prompt, plain_prompt
from asap.degrade.diffusion.skeleton_operations import SKELETON_OPERATIONS
from asap.degrade.diffusion.window import CONTEXT, InpaintTask, Seam, Window, grow, margin, touched_area, window_around

__all__ = ["STRENGTH", "BrokenSkeleton", "break_skeleton", "skeleton_pair"]

STRENGTH: Final = 1.0
"""The old part is discarded completely, because the skeleton determines the new one. Our choice."""
_THICKNESS: Final = {"hand": 0.35, "face": 0.35, "arm": 0.25, "leg": 0.25}
"""Half the width of the area around a bone, over the median length of the bones of the part. Our choice, rather
wide.
"""


@dataclass(frozen=True, kw_only=True)
class BrokenSkeleton:
    """All people of an image before and after one of them was broken."""

    whole: tuple[FloatArray, ...]
    """For each person (133, 3) x, y in pixels, confidence."""
    broken: tuple[FloatArray, ...]
    """The same with the error. Added pieces follow the people, as people with few points."""
    reach: FloatArray
    """(S, 4) the bones that moved, were removed or were added, as x, y of both ends in pixels."""
    thickness: float
    """Half the width, in pixels, of the area around such a bone."""
    detail: dict[str, float | int | str] = field(default_factory=dict)
    """The sampled parameters."""


def break_skeleton(
    regions: Sequence[PartRegion], region: PartRegion, operation: str, severity: int, rng: np.random.Generator
) -> BrokenSkeleton:
    """The skeletons of all people in ``regions``, with ``region`` broken by ``operation``.

    Args:
        regions: all known parts; they may leave out ``region``.
        region: the part to break; its keypoints and those of the other parts of the person are used.
        operation: one of those in ``SKELETON_OPERATIONS`` for the part.
        severity: 1 to 3.
        rng: samples the parameters of the operation.

    Raises:
        InputError: the skeleton cannot show the operation, the severity is not 1, 2 or 3, or points are unknown.
    """
    if severity not in SEVERITIES:
        raise InputError(f"severity must be 1, 2 or 3, not {severity}")
    if (region.part, operation) not in SKELETON_OPERATIONS:
        known = ", ".join(o for p, o in SKELETON_OPERATIONS if p == region.part)
        options = (
            f"choose one of: {known}"
            if known
            else f"break one of: {', '.join(sorted({p for p, _ in SKELETON_OPERATIONS}))}"
        )
        raise InputError(f"a skeleton cannot show {operation!r} on {region.part!r}; {options}")
    numbers, whole = people_of([*regions, region])
    own = numbers.index(region.person)
    figure = EditableSkeleton(whole[own])
    detail = SKELETON_OPERATIONS[region.part, operation](figure, region.part, region.side, severity, rng)
    others = tuple(points for i, points in enumerate(whole) if i != own)
    reach, typical = _reach(figure)
    return BrokenSkeleton(
        whole=(whole[own], *others),
        broken=(figure.points, *others, *figure.extras),
        reach=reach,
        thickness=max(2.0, _THICKNESS[region.part] * typical),
        detail=detail,
    )


def _bones(points: FloatArray, wanted: BoolArray) -> FloatArray:
    """(S, 4) the bones that have an end in ``wanted`` (133,), and every other wanted point as a bone of length 0."""
    seen, rows, met = points[:, 2] >= DRAWN, [], set()
    for start, stop in EDGES:
        if seen[start] and seen[stop] and (wanted[start] or wanted[stop]):
            rows.append((*points[start, :2], *points[stop, :2]))
            met |= {start, stop}
    rows += [(*points[i, :2], *points[i, :2]) for i in np.flatnonzero(seen & wanted) if int(i) not in met]
    return np.array(rows, dtype=np.float32).reshape(-1, 4)


def _reach(figure: EditableSkeleton) -> tuple[FloatArray, float]:
    """The changed bones, old and new, and the median length of those with a length."""
    changed = figure.changed()
    rows = [_bones(figure.before, changed), _bones(figure.points, changed)]
    rows += [_bones(piece, piece[:, 2] >= DRAWN) for piece in figure.extras]
    bones = np.concatenate(rows)
    length = np.hypot(bones[:, 2] - bones[:, 0], bones[:, 3] - bones[:, 1])
    if (length > 0).any():
        return bones, float(np.median(length[length > 0]))
    return bones, float(np.ptp(bones[:, :2], axis=0).max() / 3) if len(bones) else 0.0


def _around(shape: tuple[int, int], broken: BrokenSkeleton) -> BoolArray:
    """(H, W) all pixels near a changed bone."""
    line = np.zeros(shape, dtype=bool)
    for x0, y0, x1, y1 in broken.reach:
        steps = int(max(abs(x1 - x0), abs(y1 - y0))) + 2
        columns = np.floor(np.linspace(x0, x1, steps)).astype(int)
        lines = np.floor(np.linspace(y0, y1, steps)).astype(int)
        inside = (columns >= 0) & (columns < shape[1]) & (lines >= 0) & (lines < shape[0])
        line[lines[inside], columns[inside]] = True
    return grow(line, broken.thickness)


def _area(region: PartRegion, regions: Sequence[PartRegion], broken: BrokenSkeleton) -> BoolArray:
    """The part and everything attached to it, at their old and new places."""
    area = touched_area(region, regions)
    around = _around(region.mask.shape, broken)
    carried = {"arm": "hand", "leg": "foot"}.get(region.part)
    for other in regions:
        if other.person == region.person and other.part == carried and other.side == region.side:
            around |= other.mask
    return np.asarray(area | ndimage.binary_fill_holes(grow(around, margin(region.mask))))


def skeleton_pair(
    image: ByteArray,
    region: PartRegion,
    operation: str,
    severity: int,
    rng: np.random.Generator,
    inpainter: Inpainter,
    *,
    caption: str = "",
    regions: Sequence[PartRegion] = (),
    seam: Seam = "feather",
    context: float = CONTEXT,
    stroke: float = 1.0,
) -> Painting:
    """Inpaint ``region`` to fit a skeleton that ``operation`` broke; the result of the painting is both sides.

    Arguments and errors are those of ``inpaint_pair`` and ``break_skeleton``. ``inpainter`` is of kind skeleton;
    ``stroke`` is a factor on the line widths of the drawing (``draw_skeletons``).
    """
    check_region(image, region, severity)
    if inpainter.maps != ("pose",):
        raise InputError(f"{inpainter.name} does not take a pose alone; load one of kind skeleton")
    broken = break_skeleton(regions, region, operation, severity, rng)
    edit = Edit(
        kind="defect",
        part=region.part,
        side=region.side,
        operation=operation,
        severity=severity,
        detail={"space": "skeleton", **broken.detail},
    )
    area = _area(region, regions, broken)
    window = window_around(area, inpainter.native_size, inpainter.size_multiple, context)
    task = InpaintTask(
        photo=image,
        area=area,
        prompt=plain_prompt(caption, edit),
        negative=negative_prompt(region.part),
        strength=STRENGTH,
        seed=sample_seed(rng),
        seam=seam,
        context=context,
        chosen_control={"pose": _drawn(broken.whole, window, stroke)},
        rejected_control={"pose": _drawn(broken.broken, window, stroke)},
    )
    return (yield from finish_pair(task, inpainter, window, edit))


def _drawn(people: Sequence[FloatArray], window: Window, stroke: float) -> ByteArray:
    return draw_skeletons([window.place(points) for points in people], window.height, window.width, stroke)
