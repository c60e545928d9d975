"""people -> a model -> [pairs]: the rejected side has one part drawn by the very model that is to be aligned.

What a generator gets wrong is not what an edit of a mesh gets wrong: limbs melt, hands lose their shape. Here the model
draws one part of a rendered person anew and sees the rest (``generate.remake``): its own mistake, in a place that is
known, beside the truth. Nothing says that what it drew is wrong; the gates ask that it differs, and where the model is
good few pairs pass. Both sides take the round trip through the autoencoder.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.progress import Progress

from asap import bodies, gates
from asap.backbones import Backbone, load
from asap.backbones.family import LoadOptions, device_named
from asap.bodies import Drawn, Rig
from asap.core.errors import InputError
from asap.core.hashing import digest_json
from asap.core.manifest import Instrument, Manifest
from asap.core.records import BoolArray, ByteArray, Edit, PairRecord, Rendering
from asap.core.seeds import derive, generator
from asap.core.vocabulary import UNKNOWN, region_id
from asap.generate import remake
from asap.stages import pairs as rendered
from asap.stages.encode import model_fingerprint
from asap.stages.engines import in_order
from asap.stores.pairs import EncodedChunk, PairWriter, encode_rows

__all__ = ["build_own_pairs"]

CHUNK: Final = 32
"""Pictures that the model works on at once, and that are written at once."""
STARTS: Final = (0.75, 0.95)
"""Range of the time from which a part is drawn anew; at less, too much of the right one is left."""
AROUND: Final = 0.15
"""By how much a part's box is widened on every side, as a share of its own."""
LARGEST: Final = 0.3
"""Share of the picture that is drawn anew at most: of a larger part, a piece."""
MOST: Final = 20
"""Pictures tried for each pair wanted, after which the model is said to be unfit."""


_Made = tuple[EncodedChunk, Counter[str]]
"""A chunk as it comes back from a worker, and what was refused."""


@dataclass(frozen=True, kw_only=True)
class _Task:
    """What decides the content of a store."""

    people: rendered.Plan
    model: str
    weights: str
    """Their fingerprint."""
    steps: int
    guidance: float

    def config(self, count: int) -> dict[str, object]:
        """Plain values for the store's configuration."""
        own = {"model": self.model, "weights": self.weights, "steps": self.steps, "guidance": self.guidance}
        return {**self.people.config(), "source": "own", "count": count, **own}


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """One picture, and the place that is to be drawn anew."""

    index: int
    drawn: Drawn
    picture: Rendering
    mask: ByteArray
    edit: Edit
    start: float
    seed: int


def build_own_pairs(
    out: Path,
    *,
    count: int,
    model: str = "mini",
    seed: int = 0,
    scene: str = rendered.VARIED,
    steps: int = 8,
    guidance: float = 2.5,
    namespace: str = "pairs",
    workers: int = 1,
    device: str = "auto",
) -> str:
    """Build ``count`` accepted pairs at ``out`` and return the store's content hash; a killed build goes on.

    Args:
        out: folder of the store.
        count: pairs wanted.
        model: known name, folder or hub id of the model whose mistakes they show; people are rendered at its size.
        seed: decides every draw.
        scene: of ``vocabulary.SCENES``.
        steps: of the model for a region.
        guidance: scale of classifier-free guidance; 1 leaves it out, which models distilled for guidance want.
        namespace: whose people, as of rendered pairs.
        workers: processes on a CPU; the content does not depend on it.
        device: of torch; a GPU if there is one. Another device gives other roundings, and so another hash.

    Raises:
        InputError: a number out of range, or a model that makes no pair which passes.
        UnknownNameError: an unknown model, scene or namespace.
    """
    if count < 1 or steps < 1 or guidance < 1:
        raise InputError(f"count, steps and guidance must be at least 1, got {count}, {steps} and {guidance}")
    rendered.check_draws(0.0, (), namespace)
    rendered.check_scene(scene)
    where = device_named(device)
    backbone = _loaded(model, where)
    people = rendered.Plan(
        size=backbone.resolution, seed=seed, namespace=namespace, null_share=0.0, operations=(), scene=scene
    )
    fingerprint = model_fingerprint(backbone)
    task = _Task(people=people, model=model, weights=fingerprint, steps=steps, guidance=guidance)
    instruments = (
        Instrument("generator", backbone.name, fingerprint),
        Instrument("pair_gate", "ssim gates", digest_json(vars(people.limits))),
    )
    bodies.load_rig()  # here first, so that the workers find its files made
    with PairWriter(out, task.config(count), CHUNK) as writer, Progress(console=Console(stderr=True)) as bar:
        shown = bar.add_task("drawing parts anew", total=count, completed=writer.accepted())
        last = monotonic()
        for chunk, (encoded, reasons) in _chunks(writer, task, where, count, workers):
            now, most = monotonic(), count - writer.accepted()
            writer.write_chunk(chunk, EncodedChunk(encoded.rows[:most]), reasons, now - last)
            last = now
            bar.update(shown, completed=writer.accepted())
        if writer.accepted() < count:
            raise InputError(f"{MOST * count} pictures gave {writer.accepted()} pairs that pass; try another model")
        versions = {name: version(name) for name in ("anny", "warp-lang", "numpy", "diffusers")}
        config = task.config(count)
        return writer.finish(Manifest(kind="pairs", config=config, versions=versions, instruments=instruments))


def _chunks(writer: PairWriter, task: _Task, device: str, count: int, workers: int) -> Iterator[tuple[int, _Made]]:
    """Chunks in order until ``count`` pairs are on disk; made here on a GPU, else in processes of one thread each."""
    done = writer.done_chunks()
    jobs = [(task, device, number) for number in range(-(-MOST * count // CHUNK)) if number not in done]
    if writer.accepted() >= count:
        return
    made = ((job, _make(job)) for job in jobs) if device != "cpu" else in_order("pool", _make, jobs, workers)
    for job, found in made:
        yield job[-1], found
        if writer.accepted() >= count:
            return


@lru_cache(maxsize=1)
def _loaded(model: str, device: str) -> Backbone:
    """One a process."""
    return load(model, LoadOptions(device=device))


def _make(job: tuple[_Task, str, int]) -> _Made:
    """One chunk."""
    task, device, chunk = job
    reasons, rig = Counter[str](), bodies.load_rig()
    asked = [_asked(rig, task.people, index) for index in range(chunk * CHUNK, (chunk + 1) * CHUNK)]
    known = [one for one in asked if one is not None]
    reasons["no_part_visible"] += len(asked) - len(known)
    records = []
    for one, kept, lost in zip(known, *_drawn(_loaded(task.model, device), task, known), strict=True):
        record, why = _judged(task.people, one, kept, lost)
        reasons.update(why)
        records += [] if record is None else [record]
    return encode_rows(records), +reasons


def _drawn(backbone: Backbone, task: _Task, asked: list[_Asked]) -> tuple[Any, Any]:
    """Both sides of all, (B, R, R, 3) each."""
    if not asked:
        return (), ()
    return remake(
        backbone,
        np.stack([one.picture.image for one in asked]),
        np.stack([one.mask for one in asked]),
        [one.drawn.truth.caption for one in asked],
        [one.start for one in asked],
        [one.seed for one in asked],
        steps=task.steps,
        guidance=task.guidance,
    )


def _asked(rig: Rig, plan: rendered.Plan, index: int) -> _Asked | None:
    """Picture ``index`` and a place in it; None where no part of it is seen."""
    drawn = bodies.draw(rig, plan.seed, plan.namespace, index, studio=plan.scene != rendered.VARIED)
    picture = bodies.render(drawn.scene, plan.size)
    visible = rendered.candidates(drawn, picture)
    if not visible:
        return None
    rng = generator(plan.seed, plan.namespace, "own", index)
    part, side = visible[int(rng.integers(len(visible)))]
    start = float(rng.uniform(*STARTS))
    edit = Edit(kind="defect", part=part, side=side, operation=UNKNOWN, severity=0, detail={"space": "own"})
    mask = _place(_region(picture, part, side), rng)
    seed = int(rng.integers(2**62))
    return _Asked(index=index, drawn=drawn, picture=picture, mask=mask, edit=edit, start=start, seed=seed)


def _region(picture: Rendering, part: str, side: str) -> BoolArray:
    """Where the part is seen."""
    letter = {"left": ".L", "right": ".R"}.get(side, "")
    name = {"face": "head"}.get(part, part) + letter
    return np.asarray(picture.regions == region_id(name))


def _place(seen: BoolArray, rng: np.random.Generator) -> ByteArray:
    """A box around what is seen of a part, 255 inside; of a large part, a piece placed at random."""
    low, high = [], []
    size = np.array(seen.shape, dtype=np.float64)
    for axis in (0, 1):
        line = np.flatnonzero(seen.any(axis=1 - axis))
        room = AROUND * (line[-1] + 1 - line[0])
        low.append(line[0] - room)
        high.append(line[-1] + 1 + room)
    first, last = np.maximum(low, 0.0), np.minimum(high, size)
    sides = last - first
    shrink = min(1.0, float(np.sqrt(LARGEST * size.prod() / sides.prod())))
    first = first + rng.random(2) * sides * (1 - shrink)
    (top, left), (bottom, right) = np.floor(first).astype(int), np.ceil(first + sides * shrink).astype(int)
    mask = np.zeros(seen.shape, dtype=np.uint8)
    mask[top:bottom, left:right] = 255
    return mask


def _judged(
    plan: rendered.Plan, one: _Asked, kept: ByteArray, lost: ByteArray
) -> tuple[PairRecord | None, tuple[str, ...]]:
    """The pair, or why it is refused."""
    mask = gates.difference_mask(kept, lost, rendered.dilation(plan.size))
    kept, lost = gates.share_outside(kept, lost, mask)
    result = gates.evaluate(gates.measure(kept, lost, mask), plan.limits, "defect")
    if result.reasons:
        return None, result.reasons[:1]
    truth = rendered.truth_of(one.drawn, one.picture)
    recipe: dict[str, float | int | str] = {
        "seed": plan.seed, "namespace": plan.namespace, "index": one.index, "size": plan.size, "method": "own",
        "start": one.start, "perceptual_hash": f"{gates.perceptual_hash(kept):048x}",
    }  # fmt: skip
    return PairRecord(
        uid=f"own-{derive(plan.seed, plan.namespace, 'own-uid', one.index):016x}",
        index=one.index,
        prompt=truth.caption,
        chosen=kept,
        rejected=lost,
        mask=mask,
        regions=one.picture.regions,
        edit=one.edit,
        truth=truth,
        box=gates.box_of(mask),
        gates=result,
        keypoints=bodies.keypoints(one.drawn.scene.body, one.drawn.scene.camera, one.picture),
        split=rendered.split_of(plan, truth.person),
        recipe=recipe,
    ), ()
