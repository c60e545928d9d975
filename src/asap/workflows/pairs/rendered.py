"""people -> degrade -> gates -> [pairs]: build, count and show preference pairs of rendered people."""

import json
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import Progress

from asap import bodies, degrade, gates
from asap.bodies import Rig, SampledScene
from asap.core.errors import InputError, UnknownNameError
from asap.core.hashing import digest_json
from asap.core.manifest import Instrument, Manifest
from asap.core.records import BoolArray, Edit, GateResult, PairRecord, Rendering, Scene, SceneTruth
from asap.core.seeds import derive, generator
from asap.core.vocabulary import IDENTITY_POOLS, OPERATIONS, REGION_PART, SCENES, region_id
from asap.stores.pairs import EncodedChunk, EncodedRow, PairStore, PairWriter, encode_rows
from asap.workflows.runtime.parallel import processes

CHUNK = 128
TRIES = 4
"""Edits tried on one image before it is given up."""
VARIED = SCENES[0]
STUDIO_AREA = 0.012
"""Share of the image that an edit in the studio must clearly change: three cells of the embedded model's 16 x 16."""
_DILATE = {64: 2, 128: 3, 256: 5}
_SIDE = {"L": "left", "R": "right", "": "none"}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What decides the content of a store; the number of workers does not."""

    size: int
    seed: int
    namespace: str
    null_share: float
    """Share of images whose rejected side is correct: three in four another pose, one in four the same image."""
    operations: tuple[str, ...]
    """Operations to draw from; empty for all."""
    scene: str = VARIED
    """Of ``vocabulary.SCENES``."""

    @property
    def limits(self) -> gates.GateLimits:
        """What a pair must keep. In the studio an edit must be larger; see ``STUDIO_AREA``."""
        least = STUDIO_AREA if self.scene != VARIED else gates.GateLimits.changed_area_min
        return gates.GateLimits(changed_area_min=least)

    def config(self) -> dict[str, object]:
        """Plain values for the store's configuration."""
        limits = dict(vars(self.limits))
        return {"source": "bodies", **vars(self), "operations": list(self.operations), "tries": TRIES, "gates": limits}


def build_pairs(
    out: Path,
    *,
    count: int,
    size: int = 128,
    seed: int = 0,
    namespace: str = "pairs",
    null_share: float = 0.1,
    operations: Sequence[str] = (),
    scene: str = VARIED,
    workers: int = 2,
    chunk: int = CHUNK,
) -> str:
    """Build ``count`` accepted pairs at ``out`` and return the store's content hash.

    The hash depends on the arguments other than ``workers`` alone: a killed build that is run again ends the same.
    ``chunk`` images are written at once; a kill costs at most those under way.

    Raises:
        InputError: a number out of range, an unwritable folder, or a folder built with other settings.
        UnknownNameError: an operation, namespace or scene that does not exist.
    """
    _check(count, size, null_share, operations, namespace)
    check_scene(scene)
    plan = Plan(
        size=size, seed=seed, namespace=namespace, null_share=null_share, operations=tuple(operations), scene=scene
    )
    bar = Progress(console=Console(stderr=True))
    with PairWriter(out, plan.config() | {"count": count}, chunk) as writer, bar as progress:
        task = progress.add_task("building pairs", total=count, completed=min(writer.accepted(), count))
        seen = _Seen(out, writer.done_chunks())
        last = time.monotonic()
        for number, encoded, rejected in _chunks(plan, writer, count, workers):
            fresh = seen.fresh(number, encoded.rows)
            rejected["near_duplicate"] += len(encoded.rows) - len(fresh)
            keep = fresh[: max(0, count - writer.accepted())]
            seen.learn(number, keep)
            now = time.monotonic()
            writer.write_chunk(number, EncodedChunk(keep), rejected, now - last)
            last = now
            progress.update(task, completed=writer.accepted())
        versions = {name: version(name) for name in ("anny", "warp-lang", "numpy")}
        gate = Instrument(role="pair_gate", name="ssim gates", fingerprint=digest_json(plan.config()["gates"]))
        config = plan.config() | {"count": count}
        return writer.finish(Manifest(kind="pairs", config=config, versions=versions, instruments=(gate,)))


class _Seen:
    """Perceptual hashes of the pairs on disk by chunk, to refuse near-duplicates in the order of indices.

    A chunk is compared with itself and those before it only, so that a repaired store equals one never broken.
    """

    def __init__(self, root: Path, done: set[int]) -> None:
        self.codes: dict[int, list[int]] = {}
        for path in sorted((root / "data").glob("*.parquet")):
            chunk = int(path.stem.rpartition("-")[2])
            if chunk in done:
                recipes = pq.read_table(path, columns=["recipe"], partitioning=None).column("recipe").to_pylist()
                self.codes.setdefault(chunk, []).extend(_code(recipe) for recipe in recipes)

    def fresh(self, chunk: int, rows: Sequence[EncodedRow]) -> tuple[EncodedRow, ...]:
        """The rows that look like none before them."""
        before = [code for number, codes in self.codes.items() if number < chunk for code in codes]
        known = gates.NearDuplicates()
        known.extend(before)
        return tuple(row for row in rows if known.add_code(_code(str(row.columns["recipe"]))))

    def learn(self, chunk: int, rows: Sequence[EncodedRow]) -> None:
        """Remember what is written."""
        self.codes[chunk] = [_code(str(row.columns["recipe"])) for row in rows]


def _code(recipe: str) -> int:
    return int(json.loads(recipe)["perceptual_hash"], 16)


def _check(count: int, size: int, null_share: float, operations: Sequence[str], namespace: str) -> None:
    if count <= 0:
        raise InputError(f"count must be positive, got {count}")
    if size not in _DILATE:
        raise InputError(f"size must be one of {', '.join(map(str, _DILATE))}, got {size}")
    check_draws(null_share, operations, namespace)


def check_draws(null_share: float, operations: Sequence[str], namespace: str) -> None:
    """Refuse what no edit of a rendered person can be drawn with; ``InputError`` or ``UnknownNameError``."""
    if not 0.0 <= null_share <= 1.0:
        raise InputError(f"the share of null edits must be between 0 and 1, got {null_share}")
    for name in operations:
        if name not in OPERATIONS:
            raise UnknownNameError("operation", name, OPERATIONS)
    if namespace not in IDENTITY_POOLS:
        raise UnknownNameError("namespace", namespace, IDENTITY_POOLS)


def check_scene(scene: str) -> None:
    """Raise ``UnknownNameError`` for a scene that is none of ``vocabulary.SCENES``."""
    if scene not in SCENES:
        raise UnknownNameError("scene", scene, SCENES)


def dilation(size: int) -> int:
    """Pixels by which the mask of a difference is grown."""
    return _DILATE.get(size, max(2, round(size / 48)))


def _chunks(
    plan: Plan, writer: PairWriter, count: int, workers: int
) -> Iterator[tuple[int, EncodedChunk, Counter[str]]]:
    """Chunks in order, made by ``workers`` processes, until ``count`` pairs are on disk."""
    done = writer.done_chunks()
    if writer.accepted() >= count:
        return
    bodies.load_rig()
    todo = (chunk for chunk in range(10**9) if chunk not in done)
    with processes(workers) as pool:
        waiting: deque[tuple[int, Future[tuple[EncodedChunk, Counter[str]]]]] = deque()
        try:
            while writer.accepted() < count:
                while len(waiting) < workers + 1:
                    chunk = next(todo)
                    waiting.append((chunk, pool.submit(_make_chunk, plan, chunk, writer.chunk)))
                chunk, future = waiting.popleft()
                encoded, rejected = future.result()
                yield chunk, encoded, rejected
        finally:
            for _, future in waiting:
                future.cancel()


def _make_chunk(plan: Plan, chunk: int, size: int) -> tuple[EncodedChunk, Counter[str]]:
    rig = bodies.load_rig()
    rejected: Counter[str] = Counter()
    records = []
    for index in range(chunk * size, (chunk + 1) * size):
        record, reasons = make_pair(rig, plan, index)
        rejected.update(reasons)
        if record is not None:
            records.append(record)
    return encode_rows(records), rejected


def make_pair(rig: Rig, plan: Plan, index: int) -> tuple[PairRecord | None, Counter[str]]:
    """The pair of image ``index``, or None, and why each refused try was refused."""
    drawn = bodies.sample_scene(rig, plan.seed, plan.namespace, index, scene=plan.scene)
    chosen = bodies.render(drawn.scene, plan.size)
    reasons: Counter[str] = Counter()
    visible = candidates(drawn, chosen)
    if not visible:
        return None, Counter({"no_part_visible": 1})
    kind = kind_of(plan, index)
    for attempt in range(TRIES):
        rng = generator(plan.seed, plan.namespace, "edit", index, attempt)
        scene, edit, touched = edit_of(rig, drawn, plan, kind, visible, rng)
        if scene is None:
            reasons["no_other_pose"] += 1
            continue
        rejected = bodies.render(scene, plan.size) if edit.kind != "null_equal" else chosen
        mask = gates.difference_mask(chosen.image, rejected.image, _DILATE[plan.size])
        kept, lost = gates.share_outside(chosen.image, rejected.image, mask)
        seen = _touched_pixels(drawn.scene, scene, chosen, rejected, touched)
        values = gates.measure(kept, lost, mask, touched_visible=seen)
        result = gates.evaluate(values, plan.limits, edit.kind)
        if not result.reasons:
            pair = replace(chosen, image=kept), lost, mask
            return _record(plan, index, attempt, drawn, pair, edit, result), reasons
        reasons.update(result.reasons[:1])
    return None, reasons


def candidates(drawn: SampledScene, picture: Rendering) -> list[tuple[str, str]]:
    """(part, side) of every part the caption asks for and the camera shows on that side."""
    visible = bodies.visible_parts(drawn.truth, picture.regions)
    counts = np.bincount(picture.regions.ravel(), minlength=16) / picture.regions.size
    out = []
    for region, part in REGION_PART.items():
        if part in visible and counts[region_id(region)] >= _LEAST.get(part, 0.004):
            out.append((part, _SIDE[region.partition(".")[2]]))
    return out


_LEAST = {"hand": 0.004, "foot": 0.004, "face": 0.006, "neck": 0.004}


def kind_of(plan: Plan, index: int) -> str:
    """Which kind of rejected side image ``index`` gets, whatever its tries come to."""
    first, second = generator(plan.seed, plan.namespace, "kind", index).random(2)
    if first >= plan.null_share:
        return "defect"
    return "null_equal" if second < 0.25 else "null_pose"


def edit_of(
    rig: Rig, drawn: SampledScene, plan: Plan, kind: str, visible: list[tuple[str, str]], rng: np.random.Generator
) -> tuple[Scene | None, Edit, BoolArray | None]:
    """The scene of the rejected side, what was done, and which vertices it touched."""
    if kind != "defect":
        part, side = visible[int(rng.integers(len(visible)))]
        edit = Edit(kind=kind, part=part, side=side, operation="none", severity=0)
        if kind == "null_equal":
            return drawn.scene, edit, None
        return bodies.resample_part(rig, drawn, part, side, int(rng.integers(2**31))), edit, None
    operations = plan.operations or None
    part, side, operation, severity = degrade.sample_edit(drawn.scene.body, visible, rng, operations=operations)
    edited = degrade.apply(drawn.scene.body, part, side, operation, severity, rng)
    return replace(drawn.scene, body=edited.body), edited.edit, edited.touched


def _touched_pixels(
    before: Scene, after: Scene, chosen: Rendering, rejected: Rendering, touched: BoolArray | None
) -> BoolArray | None:
    """Pixels where a touched vertex is seen on either side; None for null edits."""
    if touched is None:
        return None
    out = np.zeros(chosen.regions.shape, dtype=bool)
    for scene, picture in ((before, chosen), (after, rejected)):
        flags = np.zeros(len(scene.body.vertices) + sum(len(p.vertices) for p in scene.props) + 1, dtype=bool)
        own = min(len(scene.body.vertices), len(touched))
        flags[:own] = touched[:own]
        out |= flags[picture.vertices_hit]
    return out


def _record(
    plan: Plan,
    index: int,
    attempt: int,
    drawn: SampledScene,
    pair: tuple[Rendering, Any, Any],
    edit: Edit,
    result: GateResult,
) -> PairRecord:
    chosen, lost, mask = pair
    truth = truth_of(drawn, chosen)
    return PairRecord(
        uid=f"{plan.namespace}-{derive(plan.seed, plan.namespace, 'uid', index):016x}",
        index=index,
        prompt=truth.caption,
        chosen=chosen.image,
        rejected=lost,
        mask=mask,
        regions=chosen.regions,
        edit=edit,
        truth=truth,
        box=gates.box_of(mask),
        gates=result,
        keypoints=bodies.keypoints(drawn.scene.body, drawn.scene.camera, chosen),
        split=split_of(plan, truth.person),
        recipe={
            "seed": plan.seed,
            "namespace": plan.namespace,
            "index": index,
            "attempt": attempt,
            "size": plan.size,
            "perceptual_hash": f"{gates.perceptual_hash(chosen.image):048x}",
        },
    )


def truth_of(drawn: SampledScene, picture: Rendering) -> SceneTruth:
    """What is known of the person, with the parts that the image shows."""
    return replace(drawn.truth, visible_parts=bodies.visible_parts(drawn.truth, picture.regions))


def split_of(plan: Plan, person: str) -> str:
    """train, val (6 %) or test (10 %); all pairs of a person are in one."""
    share = derive(plan.seed, "split", person) % 1000
    return "val" if share < 60 else "test" if share < 160 else "train"


def pair_stats(folder: Path, *, split: str | None = None) -> dict[str, Any]:
    """Counts, means and the content hash of the store at ``folder``; see ``PairStore.stats``."""
    return PairStore.open(folder, split=split).stats()
