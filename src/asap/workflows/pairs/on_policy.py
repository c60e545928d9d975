"""people -> a model -> [pairs]: the rejected side has one part drawn by the very model that is to be aligned.

A generator makes other errors than a mesh edit: limbs melt and hands lose their shape. Here the model regenerates one
part of a rendered person while it sees the rest of the image (``generate.regenerate``). The result is an error of the
model itself, at a known place, beside the true image. Nothing guarantees that the result is wrong: the gates only ask
that it differs, so a good model gives few pairs. Both sides take the round trip through the autoencoder.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Final

import numpy as np
from rich.console import Console
from rich.progress import Progress

from asap import bodies, gates
from asap.backbones import Backbone, load
from asap.backbones.family import LoadOptions, device_named
from asap.backbones.fingerprint import model_fingerprint
from asap.benchmark.judge import StoredJudge, predict
from asap.bodies import Rig, SampledScene
from asap.core.errors import InputError
from asap.core.hashing import digest_json
from asap.core.manifest import Instrument, Manifest
from asap.core.records import BoolArray, ByteArray, Edit, PairRecord, Rendering
from asap.core.seeds import derive, generator
from asap.core.vocabulary import SCREEN_REASON, UNKNOWN, region_id
from asap.generate import regenerate
from asap.stores.pairs import EncodedChunk, PairWriter, encode_rows
from asap.workflows.evaluation.learned import judge_named
from asap.workflows.pairs import rendered
from asap.workflows.runtime.parallel import in_order

__all__ = ["build_own_pairs"]

CHUNK: Final = 32
"""Images that the model works on at once, and that are written at once."""
STARTS: Final = (0.9, 0.99)
"""Range of the time from which a part is drawn anew; at less, too much of the right one is left."""
WHOLE_STARTS: Final = (0.97, 0.995)
"""The same for a whole person."""
GAP: Final = 2.0
"""Logits that lie between the best and the worst try at least, as the screen sees them; our choice."""
AROUND: Final = 0.15
"""By how much a part's box is widened on every side, as a share of its own."""
LARGEST: Final = 0.3
"""Share of the image that is drawn anew at most: of a larger part, a piece."""
MOST: Final = 20
"""Images tried for each pair wanted, after which the model is said to be unfit."""


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
    screen: str
    """Folder or known name of a learned judge; empty for none."""
    screen_print: str
    """Its fingerprint."""
    draws: int
    whole: float

    def config(self, count: int) -> dict[str, object]:
        """Plain values for the store's configuration."""
        own = {name: value for name, value in vars(self).items() if name != "people"}
        return {**self.people.config(), "source": "own", "count": count, **own}


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """One image, and the place that is to be drawn anew."""

    index: int
    drawn: SampledScene
    picture: Rendering
    mask: ByteArray
    edit: Edit
    start: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class _Sides:
    """Of a pair to be."""

    kept: ByteArray
    lost: ByteArray
    scores: dict[str, float]
    """What the screen says of both, logits above its threshold; empty without one."""


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
    screen: str = "",
    draws: int = 4,
    whole: float = 0.0,
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
        screen: ``ranker``, or the folder of a learned judge that ranks what was drawn; empty to put the truth beside
            one try.
        draws: tries for each place where there is a screen.
        whole: share of images whose whole person is drawn anew, in [0, 1].
        workers: processes on a CPU; the content does not depend on it.
        device: of torch; a GPU if there is one. Another device gives other roundings, and so another hash.

    Raises:
        InputError: a number out of range, or a model that makes no pair which passes.
        UnknownNameError: an unknown model, scene or namespace.
        StoreError: the screen is no learned judge.
    """
    _check(count, steps, guidance, draws, whole)
    rendered.check_draws(0.0, (), namespace)
    rendered.check_scene(scene)
    where = device_named(device)
    backbone = _loaded(model, where)
    people = rendered.Plan(
        size=backbone.resolution, seed=seed, namespace=namespace, null_share=0.0, operations=(), scene=scene
    )
    fingerprint = model_fingerprint(backbone)
    task = _Task(
        people=people, model=model, weights=fingerprint, steps=steps, guidance=guidance, screen=screen,
        screen_print=_screen(screen, where).fingerprint if screen else "", draws=draws, whole=whole,
    )  # fmt: skip
    return _build(out, task, backbone.name, count=count, workers=workers, device=where)


def _build(out: Path, task: _Task, model: str, *, count: int, workers: int, device: str) -> str:
    """The store, from wherever it was left; ``model`` is the backbone's own name."""
    bodies.load_rig()  # here first, so that the workers find its files made
    with PairWriter(out, task.config(count), CHUNK) as writer, Progress(console=Console(stderr=True)) as bar:
        shown = bar.add_task("drawing parts anew", total=count, completed=writer.accepted())
        last = monotonic()
        for chunk, (encoded, reasons) in _chunks(writer, task, device, count, workers):
            now, most = monotonic(), count - writer.accepted()
            writer.write_chunk(chunk, EncodedChunk(encoded.rows[:most]), reasons, now - last)
            last = now
            bar.update(shown, completed=writer.accepted())
        if writer.accepted() < count:
            raise InputError(f"{MOST * count} images gave {writer.accepted()} pairs that pass; try another model")
        versions = {name: version(name) for name in ("anny", "warp-lang", "numpy", "diffusers")}
        config = task.config(count)
        instruments = _instruments(task, model)
        return writer.finish(Manifest(kind="pairs", config=config, versions=versions, instruments=instruments))


def _check(count: int, steps: int, guidance: float, draws: int, whole: float) -> None:
    if count < 1 or steps < 1 or guidance < 1:
        raise InputError(f"count, steps and guidance must be at least 1, got {count}, {steps} and {guidance}")
    if draws < 2 or not 0 <= whole <= 1:
        raise InputError(f"a screen wants at least 2 draws, and whole is a share from 0 to 1; got {draws} and {whole}")


def _instruments(task: _Task, model: str) -> tuple[Instrument, ...]:
    """Whatever had a hand in the pairs."""
    gates_print = digest_json(vars(task.people.limits))
    found = [Instrument("generator", model, task.weights), Instrument("pair_gate", "ssim gates", gates_print)]
    if task.screen:
        found.append(Instrument("screen", task.screen, task.screen_print))
    return tuple(found)


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


@lru_cache(maxsize=1)
def _screen(name: str, device: str) -> StoredJudge:
    """One a process."""
    return judge_named(name, device)


def _make(job: tuple[_Task, str, int]) -> _Made:
    """One chunk."""
    task, device, chunk = job
    reasons, rig = Counter[str](), bodies.load_rig()
    asked = [_asked(rig, task.people, task.whole, index) for index in range(chunk * CHUNK, (chunk + 1) * CHUNK)]
    known = [one for one in asked if one is not None]
    reasons["no_part_visible"] += len(asked) - len(known)
    records = []
    for one, sides in zip(known, _sides(device, task, known), strict=True):
        record, why = (None, (SCREEN_REASON,)) if sides is None else _judged(task.people, one, sides)
        reasons.update(why)
        records += [] if record is None else [record]
    return encode_rows(records), +reasons


def _sides(device: str, task: _Task, asked: list[_Asked]) -> list[_Sides | None]:
    """Chosen and rejected side of all; None where the screen does not tell them apart."""
    if not asked:
        return []
    kept, first = _drawn(_loaded(task.model, device), task, asked, 0)
    if not task.screen:
        return [_Sides(kept=k, lost=one, scores={}) for k, one in zip(kept, first, strict=True)]
    others = [_drawn(_loaded(task.model, device), task, asked, number)[1] for number in range(1, task.draws)]
    return _ranked(_screen(task.screen, device), np.stack([first, *others], axis=1))


def _ranked(screen: StoredJudge, drawn: ByteArray) -> list[_Sides | None]:
    """The best and the worst of all tries (B, K, R, R, 3) where the worst fails and the best is better by ``GAP``."""
    scores = predict(screen.network, drawn.reshape(-1, *drawn.shape[2:])).score.reshape(drawn.shape[:2])
    found: list[_Sides | None] = []
    for tries, logits in zip(drawn, scores - screen.threshold, strict=True):
        best, worst = int(logits.argmin()), int(logits.argmax())
        told = {"screen_chosen": float(logits[best]), "screen_rejected": float(logits[worst])}
        apart = logits[worst] > 0 and logits[worst] - logits[best] >= GAP
        found.append(_Sides(kept=tries[best], lost=tries[worst], scores=told) if apart else None)
    return found


def _drawn(backbone: Backbone, task: _Task, asked: list[_Asked], number: int) -> tuple[ByteArray, ByteArray]:
    """All images as they are and with their place drawn anew for the ``number``-th time, (B, R, R, 3) each."""
    return regenerate(
        backbone,
        np.stack([one.picture.image for one in asked]),
        np.stack([one.mask for one in asked]),
        [one.drawn.truth.caption for one in asked],
        [one.start for one in asked],
        [derive(one.seed, "try", number) if number else one.seed for one in asked],
        steps=task.steps,
        guidance=task.guidance,
    )


def _asked(rig: Rig, plan: rendered.Plan, whole: float, index: int) -> _Asked | None:
    """Image ``index`` and a place in it; None where no part of it is seen."""
    drawn = bodies.sample_scene(rig, plan.seed, plan.namespace, index, scene=plan.scene)
    picture = bodies.render(drawn.scene, plan.size)
    visible = rendered.candidates(drawn, picture)
    if not visible:
        return None
    rng = generator(plan.seed, plan.namespace, "own", index)
    part, side = visible[int(rng.integers(len(visible)))]
    start = float(rng.uniform(*STARTS))
    mask = _place(_region(picture, part, side), rng)
    seed = int(rng.integers(2**62))
    if rng.random() < whole:
        part, side, mask = UNKNOWN, "none", _place(picture.regions >= region_id("head"), rng, 1.0)
        start = float(rng.uniform(*WHOLE_STARTS))
    edit = Edit(kind="defect", part=part, side=side, operation=UNKNOWN, severity=0, detail={"space": "own"})
    return _Asked(index=index, drawn=drawn, picture=picture, mask=mask, edit=edit, start=start, seed=seed)


def _region(picture: Rendering, part: str, side: str) -> BoolArray:
    """Where the part is seen."""
    letter = {"left": ".L", "right": ".R"}.get(side, "")
    name = {"face": "head"}.get(part, part) + letter
    return np.asarray(picture.regions == region_id(name))


def _place(seen: BoolArray, rng: np.random.Generator, largest: float = LARGEST) -> ByteArray:
    """A box around what is seen, 255 inside; where it would take more than ``largest``, a piece placed at random."""
    low, high = [], []
    size = np.array(seen.shape, dtype=np.float64)
    for axis in (0, 1):
        line = np.flatnonzero(seen.any(axis=1 - axis))
        room = AROUND * (line[-1] + 1 - line[0])
        low.append(line[0] - room)
        high.append(line[-1] + 1 + room)
    first, last = np.maximum(low, 0.0), np.minimum(high, size)
    sides = last - first
    shrink = min(1.0, float(np.sqrt(largest * size.prod() / sides.prod())))
    first = first + rng.random(2) * sides * (1 - shrink)
    (top, left), (bottom, right) = np.floor(first).astype(int), np.ceil(first + sides * shrink).astype(int)
    mask = np.zeros(seen.shape, dtype=np.uint8)
    mask[top:bottom, left:right] = 255
    return mask


def _judged(plan: rendered.Plan, one: _Asked, sides: _Sides) -> tuple[PairRecord | None, tuple[str, ...]]:
    """The pair, or why it is refused."""
    mask = gates.difference_mask(sides.kept, sides.lost, rendered.dilation(plan.size))
    kept, lost = gates.share_outside(sides.kept, sides.lost, mask)
    result = gates.evaluate(gates.measure(kept, lost, mask), plan.limits, "defect")
    if result.reasons:
        return None, result.reasons[:1]
    truth = rendered.truth_of(one.drawn, one.picture)
    recipe: dict[str, float | int | str] = {
        "seed": plan.seed, "namespace": plan.namespace, "index": one.index, "size": plan.size, "method": "own",
        "start": one.start, **sides.scores, "perceptual_hash": f"{gates.perceptual_hash(kept):048x}",
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
