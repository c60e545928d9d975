"""One photograph -> its pairs: read, find the parts, break one, gate. The one function that every engine runs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

import numpy as np

from asap import gates, regions
from asap.core.errors import InputError, PhotoError
from asap.core.photos import EditedPhoto, PartRegion, Photo
from asap.core.records import ByteArray, Edit, FloatArray, GateResult, PairRecord, SceneTruth
from asap.core.seeds import derive, generator
from asap.core.vocabulary import REGION_PART, SCREEN_REASON, UNSPECIFIED, region_id
from asap.core.wholebody import KEYPOINTS
from asap.degrade import photo as cpu
from asap.workflows.pairs.filters import Screening, perceptual_of, screen_of, screened
from asap.workflows.pairs.inpainting import DIFFUSION, Painting, paint, painter_of
from asap.workflows.pairs.sources import GRID, Source, fit, fit_part, halved, read, sidecars

__all__ = ["DRAWS", "METHODS", "TRIES", "USER", "PhotoPlan", "PhotoResult", "make_photo_pairs"]

TRIES: Final = 4
"""Edits that gates may refuse for one pair before it is given up."""
DRAWS: Final = 16
"""Edits drawn for one pair at most; geometry forbids many, and those cost little."""
NULL_EQUAL: Final = 0.25
"""Share of the null edits whose two sides are equal."""
USER: Final = "user"
"""The landmarker that reads the user's own masks and keypoints beside each photograph."""
METHODS: Final = (*cpu.METHODS, *DIFFUSION)
FINER: Final = 2
"""Pixels of the image that is worked on for one of the pair, along each side.

Both sides are reduced alike at the end. What a look-up between pixels leaves, and what JPEG leaves in a photograph and
a warp turns, lies in the finest band, which the mean of four pixels takes away (``docs/experiments/audit.md``).
"""


@dataclass(frozen=True, kw_only=True)
class PhotoPlan:
    """What decides the content of a store made from photographs; engines and workers do not."""

    degrade: tuple[str, ...]
    """Of ``METHODS``."""
    per_image: int
    size: int
    """Pixels of the longer side of a pair; a photograph less than ``FINER`` times as large gives smaller ones."""
    seed: int
    null_share: float
    operations: tuple[str, ...]
    landmarker: str
    landmarker_options: tuple[tuple[str, str], ...] = ()
    painting: Painting | None = None
    """The diffusion model, where one takes part."""
    screening: Screening | None = None
    """What it made must look worse to this screen."""
    perceptual: str = ""
    """Setting of ``looking.perceptual_of``."""


@dataclass(frozen=True, kw_only=True)
class PhotoResult:
    """What came of one file."""

    pairs: tuple[PairRecord, ...]
    refused: Mapping[str, int]
    """How often a try was refused for each reason."""
    outcome: Mapping[str, object]
    """Plain values for the store: name, digest, outcome, notes, people, parts, pairs, hash."""


@dataclass(frozen=True, kw_only=True)
class _Shot:
    """One photograph, as it is worked on and as a pair shows it."""

    source: Source
    fine: Photo
    """``FINER`` times as large as ``photo``."""
    parts: tuple[PartRegion, ...]
    """In ``fine``."""
    photo: Photo
    shown: tuple[PartRegion, ...]
    """The parts in ``photo``."""


@dataclass
class _Tries:
    """Counts along the way."""

    refused: Counter[str] = field(default_factory=Counter)


def make_photo_pairs(plan: PhotoPlan, source: Source) -> PhotoResult:
    """The pairs of one file; a file that cannot be used gives none and a reason, never an error.

    Outcomes: ``pairs``, ``no_person``, ``no_pair`` (every try was refused), ``file_unreadable``, ``bad_masks``, or the
    reason of ``PhotoError``.
    """
    head: dict[str, object] = {"number": source.number, "name": source.name}
    try:
        whole = read(source)
    except PhotoError as error:
        return _nothing(head, error.reason)
    fine = fit(whole, FINER * plan.size, grid=FINER * GRID)
    photo = replace(fine, image=halved(fine.image))
    code = gates.perceptual_hash(fit(whole, plan.size).image)  # of a cut that does not depend on ``FINER``
    head |= {"digest": photo.digest, "notes": list(photo.notes), "hash": f"{code:048x}"}
    try:
        found = _find(plan, source, whole, fine)
    except InputError as error:
        return _nothing(head | {"fault": error.line}, "bad_masks")
    if not found:
        return _nothing(head, "no_person")
    head |= {"people": len({part.person for part in found}), "parts": len(found)}
    tries = _Tries()
    shown = tuple(part for part in (_reduced_part(part) for part in found) if part is not None)
    shot = _Shot(source=source, fine=fine, parts=found, photo=photo, shown=shown)
    made = [_pair(plan, shot, number, tries) for number in range(plan.per_image)]
    pairs = tuple(pair for pair in made if pair is not None)
    outcome = "pairs" if pairs else "no_pair"
    return PhotoResult(pairs=pairs, refused=tries.refused, outcome=head | {"outcome": outcome, "pairs": len(pairs)})


def _nothing(head: Mapping[str, object], reason: str) -> PhotoResult:
    return PhotoResult(pairs=(), refused={reason: 1}, outcome={**head, "outcome": reason, "pairs": 0})


def _find(plan: PhotoPlan, source: Source, whole: Photo, fine: Photo) -> tuple[PartRegion, ...]:
    """Parts in the image that is worked on; raises ``InputError`` when the user's own files say nonsense."""
    if plan.landmarker != USER:
        return tuple(_landmarker(plan).find(fine.image))
    shape = (whole.image.shape[0], whole.image.shape[1])
    parts = regions.user_parts(shape, sidecars(source), image=whole.image)
    fitted = [fit_part(part, shape, FINER * plan.size, grid=FINER * GRID) for part in parts]
    return tuple(part for part in fitted if part is not None)


def _reduced_part(part: PartRegion) -> PartRegion | None:
    """``part`` of the image that is worked on as a pair shows it; None when nothing of it is left."""
    shape = (part.mask.shape[0], part.mask.shape[1])
    return fit_part(part, shape, max(shape) // FINER)


def _reduced(edited: EditedPhoto) -> EditedPhoto:
    """Both sides at the size of a pair."""
    chosen, rejected = halved(edited.chosen), halved(edited.rejected)
    height, width = chosen.shape[:2]
    mask = edited.mask.reshape(height, FINER, width, FINER).max(axis=(1, 3))
    return replace(edited, chosen=chosen, rejected=rejected, mask=mask)


@lru_cache(maxsize=2)
def _landmarker(plan: PhotoPlan) -> Any:  # noqa: ANN401  (a protocol of the room)
    return regions.landmarker(plan.landmarker, **dict(plan.landmarker_options))


def _pair(plan: PhotoPlan, shot: _Shot, number: int, tries: _Tries) -> PairRecord | None:
    """Pair ``number`` of a photograph, or None after ``TRIES`` refusals or ``DRAWS`` draws."""
    kind, refusals = _kind(plan, shot.photo, number), 0
    for attempt in range(DRAWS):
        rng = generator(plan.seed, "photo", shot.photo.digest, number, attempt)
        try:
            part, method, edited = _edit(plan, shot.fine, shot.parts, kind, rng)
        except InputError:
            tries.refused["geometry"] += 1
            continue
        edited = _reduced(edited)
        mask = gates.difference_mask(edited.chosen, edited.rejected, _dilate(shot.photo.image))
        chosen, rejected = gates.share_outside(edited.chosen, edited.rejected, mask)
        values = gates.measure(chosen, rejected, mask, perceptual=perceptual_of(plan.perceptual))
        box = gates.box_of(mask)
        result = gates.evaluate(values, gates.GateLimits.photographs(), edited.edit.kind, box=box)
        reasons = result.reasons[:1]
        if not reasons and plan.screening is not None and method in DIFFUSION:
            screen = screen_of(plan.screening, plan.landmarker, plan.landmarker_options)
            seen, small = replace(edited, chosen=chosen, rejected=rejected), _reduced_part(part)
            passed = None if small is None else screened(screen, plan.screening.least, seen, small)
            edited, reasons = (edited, (SCREEN_REASON,)) if passed is None else (passed, ())
        if not reasons:
            sides = chosen, rejected, mask
            where: dict[str, int | str] = {"number": number, "attempt": attempt, "method": method}
            return _record(plan, shot, part, sides, edited.edit, result, where)
        tries.refused.update(reasons)
        refusals += 1
        if refusals == TRIES:
            break
    return None


def _kind(plan: PhotoPlan, photo: Photo, number: int) -> str:
    first, second = generator(plan.seed, "photo-kind", photo.digest, number).random(2)
    if first >= plan.null_share:
        return "defect"
    return "null_equal" if second < NULL_EQUAL else "null_pose"


def _dilate(image: ByteArray) -> int:
    """Pixels by which a mask is grown: as many for its size as rendered people get."""
    return max(3, round(int(max(image.shape[0], image.shape[1])) / 200))


def _edit(
    plan: PhotoPlan, photo: Photo, found: Sequence[PartRegion], kind: str, rng: np.random.Generator
) -> tuple[PartRegion, str, EditedPhoto]:
    """One edit of one part, by one of the plan's methods; raises ``InputError`` where the geometry forbids it."""
    if kind != "defect":
        part = found[int(rng.integers(len(found)))]
        null = cpu.null_equal(photo.image, part) if kind == "null_equal" else cpu.null_edit(photo.image, part, rng)
        return part, kind, null
    family = plan.degrade[int(rng.integers(len(plan.degrade)))]
    if family in DIFFUSION:
        if plan.painting is None:
            raise AssertionError("a plan with a diffusion method has a painting")
        part, edited = paint(family, painter_of(plan.painting), photo, found, plan.operations, rng)
        return part, family, edited
    methods = tuple(name for name in plan.degrade if name not in DIFFUSION)
    part, method, operation, severity = cpu.sample_edit(found, rng, methods=methods, operations=plan.operations or None)
    return part, method, cpu.apply(photo.image, part, method, operation, severity, rng, regions=found)


def _record(
    plan: PhotoPlan,
    shot: _Shot,
    part: PartRegion,
    sides: tuple[ByteArray, ByteArray, ByteArray],
    edit: Edit,
    result: GateResult,
    where: Mapping[str, int | str],
) -> PairRecord:
    photo, source = shot.photo, shot.source
    own = [region for region in shot.shown if region.person == part.person]
    truth = SceneTruth(
        person=f"photo-{photo.digest[:12]}",
        category=source.category or UNSPECIFIED,
        caption=photo.caption,
        attributes={},
        visible_parts=tuple(sorted({region.part for region in own})),
        seed=derive(plan.seed, "photo", photo.digest),
    )
    return PairRecord(
        uid=f"photo-{derive(plan.seed, 'photo-uid', photo.digest, int(where['number'])):016x}",
        index=source.number * plan.per_image + int(where["number"]),
        prompt=photo.caption,
        chosen=sides[0],
        rejected=sides[1],
        mask=sides[2],
        regions=part_map(shot.shown, photo.image.shape[:2]),
        edit=edit,
        truth=truth,
        box=gates.box_of(sides[2]),
        gates=result,
        keypoints=_keypoints(own),
        split=split_of(plan.seed, photo.digest),
        recipe={"seed": plan.seed, "size": plan.size, "landmarker": plan.landmarker, **where},
        source=photo.name,
        parents=(photo.digest,),
    )


def part_map(found: Sequence[PartRegion], shape: tuple[int, int]) -> ByteArray:
    """(H, W) index into ``vocabulary.REGIONS``; small parts lie over large ones."""
    names = {(part, name.partition(".")[2]): name for name, part in REGION_PART.items()}
    out = np.zeros(shape, dtype=np.uint8)
    for region in sorted(found, key=lambda one: -int(one.mask.sum())):
        letter = {"left": "L", "right": "R"}.get(region.side, "")
        out[region.mask] = region_id(names[region.part, letter])
    return out


def _keypoints(own: Sequence[PartRegion]) -> FloatArray:
    """(133, 3) x, y and visibility (0 absent, 2 seen) of one person."""
    out = np.zeros((len(KEYPOINTS), 3), dtype=np.float32)
    places = {name: place for place, name in enumerate(KEYPOINTS)}
    for region in own:
        for name, (x, y, confidence) in zip(region.keypoint_names, region.keypoints, strict=True):
            if confidence > 0:
                out[places[name]] = (x, y, 2.0)
    return out


def split_of(seed: int, digest: str) -> str:
    """train, val (6 %) or test (10 %); all pairs of a photograph are in one."""
    share = derive(seed, "split", digest) % 1000
    return "val" if share < 60 else "test" if share < 160 else "train"
