"""Photographs of people, one part of which is broken: read, find the parts, edit one.

Every file gets an answer: pairs, or the reason why there are none, in the parts of the store and in ``sources.jsonl``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, NamedTuple

import numpy as np

from asap import gates
from asap.core.errors import BrokenImageError, InputError, PhotoError
from asap.core.hashing import digest_json_list
from asap.core.manifest import Instrument
from asap.core.photos import EditedPhoto, PartRegion, Photo
from asap.core.records import ByteArray, SceneTruth
from asap.core.seeds import derive, generator
from asap.core.settings import Fraction, Natural, Positive, Range
from asap.core.vocabulary import SCREEN_REASON, UNSPECIFIED, Operation
from asap.degrade import photo as degrade
from asap.regions.parts import part_map, person_keypoints
from asap.workflows.pairs.candidate import Candidate, Group, Refusal
from asap.workflows.pairs.filters import USER, PairFilter, landmarker_of
from asap.workflows.pairs.producer import PairProducer
from asap.workflows.pairs.sources import GRID, Source, fit, fit_part, halved, list_sources, read, sidecars

__all__ = ["PHOTOS_AT_ONCE", "EditedPart", "PhotoProducer", "Photos", "WantedEdit"]

NULL_EQUAL: Final = 0.25
"""Share of the null pairs whose two sides are equal."""
FINER: Final = 2
"""Pixels of the image that is edited per pixel of the pair, along each side.

Both sides are reduced alike at the end. Traces of resampling, and of JPEG in a photograph that a warp turns, are in the
finest band, which the mean of four pixels removes (``docs/experiments/audit.md``).
"""
CHUNKS: Final = 64
"""About as many chunks per store: few files on disk for many photographs, and work to share for few."""
LARGEST_CHUNK: Final = 64
PHOTOS_AT_ONCE: Final = 4
"""Photographs of a batch at most; so many are kept in memory."""


class WantedEdit(NamedTuple):
    """A photograph of which one part is to be broken."""

    photo: Photo
    parts: Sequence[PartRegion]
    rng: np.random.Generator


class EditedPart(NamedTuple):
    """Both sides, the part in which they differ, and how that was done."""

    part: PartRegion
    method: str
    photo: EditedPhoto


@dataclass(frozen=True, kw_only=True)
class PhotoProducer(PairProducer):
    """What all producers of photographs share; a subclass says how a part is broken."""

    source: Path
    """Folder of photographs; captions in NAME.txt beside NAME.jpg, or in metadata.jsonl."""
    per_image: Positive = 4
    """Pairs tried per photograph."""
    size: Annotated[int, Range(least=64, most=4096)] = 512
    """Longest side of the pairs in pixels; photographs are edited at twice that and then reduced."""
    seed: Natural = 0
    """Random seed; the same seed gives the same pairs."""
    null_share: Fraction = 0.1
    """Share of pairs without a defect."""
    operations: tuple[Operation, ...] = ()
    """Operations to draw from; all by default."""
    landmarker: str = "mediapipe"
    """Landmarker that finds the body parts; user reads masks and keypoints stored beside each photograph."""
    perceptual: str = ""
    """Enable the LPIPS gates of the paper: lpips:TRUNK[,HEADS], where TRUNK and HEADS are weight files."""
    count: None = field(default=None, init=False)

    name: ClassVar[str] = "photographs"
    title: ClassVar[str] = "reading photographs"
    versions: ClassVar[tuple[str, ...]] = ("numpy", "pillow", "scipy")
    stored: ClassVar[Mapping[str, str]] = {"source": ""}
    attempts: ClassVar[int] = 16
    """Geometry forbids many edits, and those cost little."""

    def edit_all(self, wanted: Sequence[WantedEdit]) -> Sequence[EditedPart | InputError]:
        """Break one part of each photograph; ``InputError`` where the geometry forbids it."""
        raise NotImplementedError

    @cached_property
    def files(self) -> list[Source]:
        """All files of the folder, in order; raises ``InputError`` where there are none."""
        return list_sources(self.source)

    @property
    def total(self) -> int:
        """All pairs of all files."""
        return len(self.files) * self.per_image

    @property
    def batch(self) -> int:
        """One photograph."""
        return self.per_image

    @property
    def chunk(self) -> int:
        """The pairs of some photographs."""
        return self.per_image * min(LARGEST_CHUNK, max(1, len(self.files) // CHUNKS))

    @property
    def filter(self) -> PairFilter:
        """The gates for photographs."""
        return PairFilter(
            limits=gates.GateLimits.photographs(),
            photograph=True,
            perceptual=self.perceptual,
            landmarker=self.landmarker,
        )

    def config(self) -> Mapping[str, object]:
        """The settings, the files, and the fingerprints of the models."""
        checks = self.filter
        names = digest_json_list([one.name, one.caption, one.category] for one in self.files)
        return {
            **super().config(),
            "landmarker_options": {},
            "painting": None,
            "screening": None if checks.screening is None else asdict(checks.screening),
            "draws": self.attempts,
            "finer": FINER,
            "files": len(self.files),
            "file_names": names,
            "instruments": [asdict(one) for one in (*self.instruments(), *checks.instruments())],
        }

    def instruments(self) -> tuple[Instrument, ...]:
        """The landmarker."""
        finder = landmarker_of(self.landmarker)
        return (Instrument("landmarker", finder.name, finder.fingerprint),)

    def propose(self, indices: Sequence[int], attempt: int) -> Sequence[Candidate | Refusal]:
        """One edit of one part for each index; all defects are made together."""
        shots = {index: _shot(self, index // self.per_image) for index in indices}
        edited: dict[int, EditedPart | InputError] = {}
        wanted: dict[int, WantedEdit] = {}
        for index, shot in shots.items():
            if shot.fine is None or shot.photo is None:
                continue
            digest, number = shot.photo.digest, index % self.per_image
            rng = generator(self.seed, "photo", digest, number, attempt)
            kind = self._kind(digest, number)
            if kind == "defect":
                wanted[index] = WantedEdit(shot.fine, shot.parts, rng)
            else:
                edited[index] = _without_defect(kind, shot.fine, shot.parts, rng)
        edited |= zip(wanted, self.edit_all(list(wanted.values())), strict=True)
        return [
            self._candidate(index, shots[index], edited[index], defect=index in wanted)
            if index in edited
            else Refusal(shots[index].fault, final=True)
            for index in indices
        ]

    def groups(self, indices: Sequence[int]) -> Iterable[Group]:
        """One group per photograph."""
        for number in dict.fromkeys(index // self.per_image for index in indices):
            shot = _shot(self, number)
            own = range(number * self.per_image, (number + 1) * self.per_image)
            yield Group(indices=own, code=shot.code, facts=shot.facts, fault=shot.fault)

    def _candidate(
        self, index: int, shot: "_Shot", found: EditedPart | InputError, *, defect: bool
    ) -> Candidate | Refusal:
        if isinstance(found, BrokenImageError):
            return Refusal("broken_image")
        if isinstance(found, InputError):
            return Refusal("geometry")
        assert shot.photo is not None
        photo, number, part, edited = shot.photo, index % self.per_image, found.part, found.photo
        screened = _reduced_part(part) if defect and self.filter.screening is not None else None
        if screened is None and defect and self.filter.screening is not None:
            return Refusal(SCREEN_REASON)
        person = [region for region in shot.shown if region.person == part.person]
        truth = SceneTruth(
            person=f"photo-{photo.digest[:12]}",
            category=shot.source.category or UNSPECIFIED,
            caption=photo.caption,
            attributes={},
            visible_parts=tuple(sorted({region.part for region in person})),
            seed=derive(self.seed, "photo", photo.digest),
        )
        return Candidate(
            uid=f"photo-{derive(self.seed, 'photo-uid', photo.digest, number):016x}",
            chosen=halved(edited.chosen),
            rejected=halved(edited.rejected),
            regions=shot.regions,
            edit=edited.edit,
            truth=truth,
            keypoints=person_keypoints(person),
            split_by=photo.digest,
            recipe={"size": self.size, "landmarker": self.landmarker, "number": number, "method": found.method},
            source=photo.name,
            parents=(photo.digest,),
            screened=screened,
        )

    def _kind(self, digest: str, number: int) -> str:
        first, second = generator(self.seed, "photo-kind", digest, number).random(2)
        if first >= self.null_share:
            return "defect"
        return "null_equal" if second < NULL_EQUAL else "null_pose"


@dataclass(frozen=True, kw_only=True)
class Photos(PhotoProducer):
    """Pairs of photographs: one body part is warped, removed or grafted, on the CPU."""

    degrade: tuple[Literal["warp", "remove", "graft"], ...] = ("warp", "remove", "graft")
    """Ways to break a part, joined by commas."""

    def faults(self) -> Iterator[str]:
        """At least one way."""
        if not self.degrade:
            yield "want at least one way to degrade, of: warp, remove, graft"

    def edit_all(self, wanted: Sequence[WantedEdit]) -> Sequence[EditedPart | InputError]:
        """One operation of one of the methods."""
        return [self._edit(*one) for one in wanted]

    def _edit(self, photo: Photo, parts: Sequence[PartRegion], rng: np.random.Generator) -> EditedPart | InputError:
        rng.integers(len(self.degrade))  # unused; the content of stores depends on it
        operations = self.operations or None
        try:
            part, method, operation, severity = degrade.sample_edit(
                parts, rng, methods=self.degrade, operations=operations
            )
            edited = degrade.apply(photo.image, part, method, operation, severity, rng, regions=parts)
        except InputError as error:
            return error
        return EditedPart(part, method, edited)


def _without_defect(
    kind: str, photo: Photo, parts: Sequence[PartRegion], rng: np.random.Generator
) -> EditedPart | InputError:
    """The pair of a null kind."""
    part = parts[int(rng.integers(len(parts)))]
    if kind == "null_equal":
        return EditedPart(part, kind, degrade.unchanged_pair(photo.image, part))
    try:
        return EditedPart(part, kind, degrade.control_edit(photo.image, part, rng))
    except InputError as error:
        return error


@dataclass(frozen=True, kw_only=True)
class _Shot:
    """One photograph, as it is edited and as a pair shows it; only facts and fault where it gives no pairs."""

    source: Source
    facts: Mapping[str, object]
    fault: str = ""
    """``no_person``, ``bad_masks``, or the reason of ``PhotoError``."""
    code: int | None = None
    """Perceptual hash."""
    fine: Photo | None = None
    """``FINER`` times as large as ``photo``."""
    parts: tuple[PartRegion, ...] = ()
    """In ``fine``."""
    photo: Photo | None = None
    shown: tuple[PartRegion, ...] = ()
    """The parts in ``photo``."""
    regions: ByteArray
    """(H, W) part-id map of ``photo``."""


NOTHING: Final = np.zeros((0, 0), dtype=np.uint8)


@lru_cache(maxsize=PHOTOS_AT_ONCE)
def _shot(producer: PhotoProducer, number: int) -> _Shot:
    """File ``number``; kept for its further pairs and attempts."""
    source = producer.files[number]
    facts: dict[str, object] = {"number": source.number, "name": source.name}
    try:
        whole = read(source)
    except PhotoError as error:
        return _Shot(source=source, facts=facts, fault=error.reason, regions=NOTHING)
    fine = fit(whole, FINER * producer.size, grid=FINER * GRID)
    code = gates.perceptual_hash(fit(whole, producer.size).image)  # of a cut that does not depend on ``FINER``
    facts |= {"digest": whole.digest, "notes": list(whole.notes)}
    try:
        parts = _find(producer, source, whole, fine)
    except InputError as error:
        facts["fault"] = error.line
        return _Shot(source=source, facts=facts, fault="bad_masks", code=code, regions=NOTHING)
    if not parts:
        return _Shot(source=source, facts=facts, fault="no_person", code=code, regions=NOTHING)
    facts |= {"people": len({part.person for part in parts}), "parts": len(parts)}
    photo = replace(fine, image=halved(fine.image))
    shown = tuple(part for part in map(_reduced_part, parts) if part is not None)
    return _Shot(
        source=source,
        facts=facts,
        code=code,
        fine=fine,
        parts=parts,
        photo=photo,
        shown=shown,
        regions=part_map(shown, photo.image.shape[:2]),
    )


def _find(producer: PhotoProducer, source: Source, whole: Photo, fine: Photo) -> tuple[PartRegion, ...]:
    """Parts in the image that is edited; raises ``InputError`` where the user's own files are wrong."""
    if producer.landmarker != USER:
        return tuple(landmarker_of(producer.landmarker).find(fine.image))
    from asap import regions

    shape = (whole.image.shape[0], whole.image.shape[1])
    parts = regions.user_parts(shape, sidecars(source), image=whole.image)
    fitted = [fit_part(part, shape, FINER * producer.size, grid=FINER * GRID) for part in parts]
    return tuple(part for part in fitted if part is not None)


def _reduced_part(part: PartRegion) -> PartRegion | None:
    """``part`` of the image that is edited as a pair shows it; None where nothing of it is left."""
    shape = (part.mask.shape[0], part.mask.shape[1])
    return fit_part(part, shape, max(shape) // FINER)
