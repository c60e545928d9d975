"""people -> maps -> [pairs]: photographic pairs whose error is that of a rendered body, without any photograph.

A body and its broken twin are rendered through one camera; their depth, normals and pose steer a ControlNet from one
noise (``degrade.diffusion.guided``). Part, operation and severity are those of the mesh edit. A process makes pair by
pair, since the model fills a device.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Final

import numpy as np
from rich.console import Console
from rich.progress import Progress

from asap import bodies, gates
from asap.bodies import Rig, SampledScene
from asap.core.errors import InputError
from asap.core.hashing import digest_json
from asap.core.manifest import Instrument, Manifest
from asap.core.photos import EditedPhoto, PartRegion
from asap.core.records import BoolArray, Edit, GateResult, PairRecord, Rendering, Scene
from asap.core.seeds import derive, generator
from asap.core.vocabulary import SCREEN_REASON
from asap.stores.pairs import PairWriter
from asap.workflows.pairs import rendered
from asap.workflows.pairs.filters import Screening, perceptual_of, screen_of, screened
from asap.workflows.pairs.inpainting import Painting, painter_of

__all__ = ["build_guided_pairs"]

LANDMARKER: Final = "mediapipe"
"""What a screen of landmarks looks with."""
CHUNK: Final = 8
"""Pairs tried between two writes; a kill costs at most so many."""
SIZES: Final = (64, 2048)
MOST: Final = 50
"""Images tried for each pair wanted, after which the model is said to be unfit."""


@dataclass(frozen=True, kw_only=True)
class _Guide:
    """What decides the content of a store of guided pairs."""

    people: rendered.Plan
    painting: Painting
    screening: Screening | None
    perceptual: str

    def config(self, count: int) -> dict[str, object]:
        """Plain values for the store's configuration."""
        return {
            **self.people.config(),
            "source": "guided",
            "count": count,
            "painting": asdict(self.painting),
            "screening": None if self.screening is None else asdict(self.screening),
            "perceptual": self.perceptual,
            "gates": asdict(gates.GateLimits.photographs()),
        }


def build_guided_pairs(
    out: Path,
    *,
    count: int,
    painting: Painting,
    size: int = 512,
    seed: int = 0,
    namespace: str = "pairs",
    null_share: float = 0.1,
    operations: Sequence[str] = (),
    screening: Screening | None = None,
    perceptual: str = "",
) -> str:
    """Build ``count`` accepted pairs at ``out`` and return the store's content hash; a killed build goes on.

    Args:
        out: folder of the store.
        count: pairs wanted.
        painting: the model, of kind guided, with a ControlNet.
        size: pixels of a side; best what the model was trained at, and a multiple of what it asks for.
        seed: decides every draw.
        namespace: whose people, as of rendered pairs.
        null_share: share of pairs whose rejected side follows another correct pose.
        operations: to draw from; empty for all.
        screening: keeps only pairs whose rejected side is worse.
        perceptual: as ``looking.perceptual_of`` reads it.

    Raises:
        InputError: a setting out of range, another painter, or a model that makes no pair which passes.
        UnknownNameError: an unknown operation or namespace.
    """
    _check(count, painting, size, null_share, operations, namespace)
    people = rendered.Plan(
        size=size, seed=seed, namespace=namespace, null_share=null_share, operations=tuple(operations)
    )
    guide = _Guide(people=people, painting=painting, screening=screening, perceptual=perceptual)
    instruments, rig = _instruments(guide), bodies.load_rig()
    config = guide.config(count)
    with PairWriter(out, config, CHUNK) as writer, Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("painting pairs", total=count, completed=writer.accepted())
        done = writer.done_chunks()
        for chunk in (number for number in range(-(-MOST * count // CHUNK)) if number not in done):
            if writer.accepted() >= count:
                break
            _write(writer, rig, guide, chunk, count)
            bar.update(task, completed=writer.accepted())
        if writer.accepted() < count:
            raise InputError(f"{MOST * count} images gave {writer.accepted()} pairs that pass; try another model")
        versions = {name: version(name) for name in ("anny", "warp-lang", "numpy", "diffusers")}
        return writer.finish(Manifest(kind="pairs", config=config, versions=versions, instruments=instruments))


def _check(
    count: int, painting: Painting, size: int, null_share: float, operations: Sequence[str], namespace: str
) -> None:
    if count < 1:
        raise InputError(f"count must be at least 1, got {count}")
    if painting.kind != "guided":
        raise InputError(f"body-guided pairs want a painter of kind guided, not {painting.kind}")
    if not SIZES[0] <= size <= SIZES[1]:
        raise InputError(f"the size must be from {SIZES[0]} to {SIZES[1]} pixels, got {size}")
    rendered.check_draws(null_share, operations, namespace)


def _instruments(guide: _Guide) -> tuple[Instrument, ...]:
    """Everything that has a say in which pairs there are."""
    painter = painter_of(guide.painting)
    if guide.people.size % painter.size_multiple:
        raise InputError(f"{painter.name} paints sizes that {painter.size_multiple} divides, not {guide.people.size}")
    found = [
        Instrument("generator", painter.name, painter.fingerprint),
        Instrument("pair_gate", "ssim gates", digest_json(asdict(gates.GateLimits.photographs()))),
    ]
    if guide.screening is not None:
        screen = screen_of(guide.screening, LANDMARKER)
        found.append(Instrument("screen", screen.name, screen.fingerprint))
    if (distance := perceptual_of(guide.perceptual)) is not None:
        found.append(Instrument("pair_gate", distance.name, distance.fingerprint))
    return tuple(found)


def _write(writer: PairWriter, rig: Rig, guide: _Guide, chunk: int, count: int) -> None:
    """Make and write one chunk, no pair more than are wanted."""
    begun, reasons, records = monotonic(), Counter[str](), list[PairRecord]()
    for index in range(chunk * CHUNK, min((chunk + 1) * CHUNK, MOST * count)):
        if writer.accepted() + len(records) == count:
            break
        record, why = _pair(rig, guide, index)
        reasons.update(why)
        records += [] if record is None else [record]
    writer.write_chunk(chunk, records, reasons, monotonic() - begun)


def _pair(rig: Rig, guide: _Guide, index: int) -> tuple[PairRecord | None, Counter[str]]:
    """The pair of image ``index``, or None, and why tries were refused."""
    plan = guide.people
    drawn = bodies.sample_scene(rig, plan.seed, plan.namespace, index)
    picture = bodies.render(drawn.scene, plan.size)
    visible = rendered.candidates(drawn, picture)
    if not visible:
        return None, Counter({"no_part_visible": 1})
    kind = "defect" if rendered.kind_of(plan, index) == "defect" else "null_pose"
    reasons: Counter[str] = Counter()
    for attempt in range(rendered.TRIES):
        rng = generator(plan.seed, plan.namespace, "guided", index, attempt)
        scene, edit, _ = rendered.edit_of(rig, drawn, plan, kind, visible, rng)
        if scene is None:
            reasons["no_other_pose"] += 1
            continue
        broken = bodies.render(scene, plan.size)
        area = gates.difference_mask(picture.image, broken.image, _grown(plan.size)) > 0
        if not area.any():
            reasons["hidden"] += 1
            continue
        edited = _painted(guide, drawn, picture, _Side(scene, broken), area, edit, rng)
        edited, result, why = _judged(guide, edited, _region(edit, area))
        if not why:
            return _record(plan, index, attempt, drawn, picture, edited, result), reasons
        reasons.update(why)
    return None, reasons


@dataclass(frozen=True)
class _Side:
    """The broken body and its rendering."""

    scene: Scene
    picture: Rendering


def _grown(size: int) -> int:
    """Pixels by which a mask is grown, as of photographs."""
    return max(3, round(size / 200))


def _painted(
    guide: _Guide,
    drawn: SampledScene,
    picture: Rendering,
    side: _Side,
    area: BoolArray,
    edit: Edit,
    rng: np.random.Generator,
) -> EditedPhoto:
    """Both sides from the maps of both bodies."""
    from asap.degrade import diffusion

    camera = drawn.scene.camera
    points = bodies.keypoints(drawn.scene.body, camera, picture)
    right = diffusion.BodyMaps(depth=picture.depth, normals=picture.normals, camera=camera, keypoints=points)
    wrong = diffusion.BodyMaps(depth=side.picture.depth, normals=side.picture.normals, camera=side.scene.camera)
    painter, size = painter_of(guide.painting), guide.people.size
    return diffusion.controlnet_pair(size, right, wrong, area, edit, rng, painter, caption=drawn.truth.caption)


def _region(edit: Edit, area: BoolArray) -> PartRegion:
    """The edited part as a screen wants it."""
    return PartRegion(
        part=edit.part,
        side=edit.side,
        person=0,
        mask=area,
        box=gates.box_of(area),
        keypoints=np.zeros((0, 3), dtype=np.float32),
        keypoint_names=(),
        confidence=1.0,
        instrument="bodies",
    )


def _judged(guide: _Guide, edited: EditedPhoto, part: PartRegion) -> tuple[EditedPhoto, GateResult, tuple[str, ...]]:
    """The pair after the gates and the screen, and why it is refused."""
    values = gates.measure(edited.chosen, edited.rejected, edited.mask, perceptual=perceptual_of(guide.perceptual))
    limits, kind = gates.GateLimits.photographs(), edited.edit.kind
    result = gates.evaluate(values, limits, kind, box=gates.box_of(edited.mask))
    if result.reasons or guide.screening is None or kind != "defect":
        return edited, result, result.reasons[:1]
    passed = screened(screen_of(guide.screening, LANDMARKER), guide.screening.least, edited, part)
    return (edited, result, (SCREEN_REASON,)) if passed is None else (passed, result, ())


def _record(
    plan: rendered.Plan,
    index: int,
    attempt: int,
    drawn: SampledScene,
    picture: Rendering,
    edited: EditedPhoto,
    result: GateResult,
) -> PairRecord:
    truth = rendered.truth_of(drawn, picture)
    recipe: dict[str, float | int | str] = {
        "seed": plan.seed, "namespace": plan.namespace, "index": index, "attempt": attempt, "size": plan.size,
        "method": "guided", "perceptual_hash": f"{gates.perceptual_hash(edited.chosen):048x}",
    }  # fmt: skip
    return PairRecord(
        uid=f"guided-{derive(plan.seed, plan.namespace, 'guided-uid', index):016x}",
        index=index,
        prompt=truth.caption,
        chosen=edited.chosen,
        rejected=edited.rejected,
        mask=edited.mask,
        regions=picture.regions,
        edit=edited.edit,
        truth=truth,
        box=gates.box_of(edited.mask),
        gates=result,
        keypoints=bodies.keypoints(drawn.scene.body, drawn.scene.camera, picture),
        split=rendered.split_of(plan, truth.person),
        recipe=recipe,
    )
