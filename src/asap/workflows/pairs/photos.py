"""photographs -> regions -> degrade -> gates -> [pairs]: build a pair store from a folder of images.

Every file gets its answer: pairs, or the reason why there are none, in the parts of the store and in ``sources.jsonl``.
"""

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress

from asap import gates, regions
from asap.core.errors import InputError, UnknownNameError
from asap.core.files import write_text
from asap.core.hashing import canonical_json, digest_json_list
from asap.core.manifest import Instrument, Manifest
from asap.core.vocabulary import OPERATIONS
from asap.stores.pairs import EncodedChunk, EncodedRow, PairWriter, encode_rows
from asap.workflows.pairs.filters import Screening, perceptual_of, screen_of
from asap.workflows.pairs.inpainting import DIFFUSION, Painting, painter_of
from asap.workflows.pairs.photo_pair import DRAWS, FINER, METHODS, TRIES, USER, PhotoPlan, PhotoResult, make_photo_pairs
from asap.workflows.pairs.sources import Source, list_sources
from asap.workflows.runtime.parallel import in_order

__all__ = ["METHODS", "SOURCES", "build_photo_pairs"]

SOURCES: Final = "sources.jsonl"
"""One line a file of the folder, written when the store is finished."""
CHUNKS: Final = 64
"""About so many chunks a build: few files on disk for many photographs, and work to share for few."""
LARGEST_CHUNK: Final = 64
SIZES: Final = (64, 4096)


def build_photo_pairs(
    out: Path,
    *,
    source: Path,
    degrade: Sequence[str] = ("warp", "remove", "graft"),
    per_image: int = 4,
    size: int = 512,
    seed: int = 0,
    null_share: float = 0.1,
    operations: Sequence[str] = (),
    landmarker: str = "mediapipe",
    landmarker_options: dict[str, str] | None = None,
    painting: Painting | None = None,
    screening: Screening | None = None,
    perceptual: str = "",
    engine: str = "pool",
    workers: int = 2,
) -> str:
    """Build a store at ``out`` from every photograph below ``source`` and return its content hash.

    The hash depends on the files and on the settings other than ``engine`` and ``workers``; a killed build that is run
    again ends the same.

    Args:
        out: folder of the store.
        source: folder of photographs, see ``asap.workflows.pairs.sources``.
        degrade: methods to draw from, of ``METHODS``.
        per_image: pairs tried for each photograph.
        size: longest side of the pairs in pixels, 64 to 4096; photographs are worked on at twice that and then reduced.
        seed: decides every draw.
        null_share: share of pairs whose rejected side is correct.
        operations: operations to draw from; empty for all.
        landmarker: of ``asap.regions.landmarker``.
        landmarker_options: its options.
        painting: the diffusion model, where ``degrade`` has a method of ``painting.DIFFUSION``.
        screening: keeps of its pairs only those whose rejected side is worse.
        perceptual: a distance for the paper's gates, as ``looking.perceptual_of`` reads it; empty for SSIM alone.
        engine: of ``engines.ENGINES``.
        workers: processes.

    Raises:
        InputError: a setting out of range, no photographs, an unwritable folder, or one of other settings or files.
        UnknownNameError: an unknown method, operation, landmarker or engine.
        StoreError: no photograph gave a pair.
    """
    plan = PhotoPlan(
        degrade=tuple(degrade),
        per_image=per_image,
        size=size,
        seed=seed,
        null_share=null_share,
        operations=tuple(operations),
        landmarker=landmarker,
        landmarker_options=tuple(sorted((landmarker_options or {}).items())),
        painting=painting,
        screening=screening,
        perceptual=perceptual,
    )
    _check(plan)
    return _fill(out, plan, list_sources(source), _instruments(plan), engine, workers)


def _fill(
    out: Path,
    plan: PhotoPlan,
    sources: Sequence[Source],
    instruments: tuple[Instrument, ...],
    engine: str,
    workers: int,
) -> str:
    """Make what is not on disk yet, and finish the store."""
    group = min(LARGEST_CHUNK, max(1, len(sources) // CHUNKS))
    config = _config(plan, sources, instruments)
    with PairWriter(out, config, group * plan.per_image) as writer, Progress(console=Console(stderr=True)) as bar:
        for number, chunk in _made(plan, sources, group, writer, engine, workers, bar):
            writer.write_chunk(number, chunk.rows, chunk.refused, chunk.seconds, chunk.outcomes)
        lines = [canonical_json(outcome) + "\n" for _, outcome in writer.sources()]
        write_text(out / SOURCES, "".join(lines))
        versions = {name: version(name) for name in ("numpy", "pillow", "scipy")}
        return writer.finish(Manifest(kind="pairs", config=config, versions=versions, instruments=instruments))


def _check(plan: PhotoPlan) -> None:
    if not plan.degrade:
        raise InputError(f"want at least one way to degrade, of: {', '.join(METHODS)}")
    for name in plan.degrade:
        if name not in METHODS:
            raise UnknownNameError("way to degrade", name, METHODS)
    for name in plan.operations:
        if name not in OPERATIONS:
            raise UnknownNameError("operation", name, OPERATIONS)
    if plan.per_image < 1:
        raise InputError(f"pairs per image must be at least 1, got {plan.per_image}")
    if not SIZES[0] <= plan.size <= SIZES[1]:
        raise InputError(f"the size must be from {SIZES[0]} to {SIZES[1]} pixels, got {plan.size}")
    if not 0.0 <= plan.null_share <= 1.0:
        raise InputError(f"the share of null edits must be between 0 and 1, got {plan.null_share}")
    diffusion = [name for name in plan.degrade if name in DIFFUSION]
    if bool(diffusion) != (plan.painting is not None):
        raise InputError(
            f"{' and '.join(diffusion)} need an inpainting model (--painter)"
            if diffusion
            else f"an inpainting model is for {' and '.join(DIFFUSION)}; name one of them in --degrade"
        )
    if plan.screening is not None and not diffusion:
        raise InputError(f"a screen is for {' and '.join(DIFFUSION)}; what is broken on the CPU is known to be wrong")
    if plan.screening is not None and (plan.screening.kind, plan.landmarker) == ("landmarks", USER):
        raise InputError("a screen of landmarks looks with the landmarker, and user's masks have none; name another")


def _instruments(plan: PhotoPlan) -> tuple[Instrument, ...]:
    """Everything that had a say in which pairs there are."""
    options: dict[str, object] = {"files": {}} if plan.landmarker == USER else dict(plan.landmarker_options)
    finder = regions.landmarker(plan.landmarker, **options)
    limits = asdict(gates.GateLimits.photographs())
    found = [
        Instrument("landmarker", finder.name, finder.fingerprint),
        Instrument("pair_gate", "ssim gates", digest_json_list([limits])),
    ]
    if plan.painting is not None:
        painter = painter_of(plan.painting)
        found.append(Instrument("generator", painter.name, painter.fingerprint))
    if plan.screening is not None:
        screen = screen_of(plan.screening, plan.landmarker, plan.landmarker_options)
        found.append(Instrument("screen", screen.name, screen.fingerprint))
    if (distance := perceptual_of(plan.perceptual)) is not None:
        found.append(Instrument("pair_gate", distance.name, distance.fingerprint))
    return tuple(found)


def _config(plan: PhotoPlan, sources: Sequence[Source], instruments: Sequence[Instrument]) -> dict[str, object]:
    """Plain values that decide the content."""
    own = {**asdict(plan), "degrade": list(plan.degrade), "operations": list(plan.operations)}
    own["landmarker_options"] = dict(plan.landmarker_options)
    names = digest_json_list([source.name, source.caption, source.category] for source in sources)
    return {
        "source": "photographs",
        **own,
        "tries": TRIES,
        "draws": DRAWS,
        "finer": FINER,
        "gates": asdict(gates.GateLimits.photographs()),
        "files": len(sources),
        "file_names": names,
        "instruments": [asdict(instrument) for instrument in instruments],
    }


@dataclass(frozen=True)
class _Chunk:
    rows: EncodedChunk
    refused: Counter[str]
    seconds: float
    outcomes: list[dict[str, object]]


@dataclass(frozen=True)
class _Work:
    """One chunk to make: what crosses to the worker."""

    plan: PhotoPlan
    number: int
    sources: tuple[Source, ...]


def _made(
    plan: PhotoPlan,
    sources: Sequence[Source],
    group: int,
    writer: PairWriter,
    engine: str,
    workers: int,
    bar: Progress,
) -> Iterator[tuple[int, _Chunk]]:
    """The chunks that are not on disk yet, in order, without photographs that look like an earlier one."""
    done = writer.done_chunks()
    groups = [tuple(sources[start : start + group]) for start in range(0, len(sources), group)]
    todo = [_Work(plan, number, files) for number, files in enumerate(groups) if number not in done]
    task = bar.add_task("reading photographs", total=len(groups), completed=len(groups) - len(todo))
    seen = _Seen(writer)
    last = time.monotonic()
    for work, results in in_order(engine, _make, todo, workers):
        now = time.monotonic()
        yield work.number, seen.sift(work.number, results, now - last)
        last = now
        bar.update(task, advance=1)


def _make(work: _Work) -> list[tuple[EncodedChunk, dict[str, int], dict[str, object]]]:
    """What a worker does: pairs of each file, encoded, with reasons and outcome."""
    results: list[PhotoResult] = [make_photo_pairs(work.plan, source) for source in work.sources]
    return [(encode_rows(one.pairs), dict(one.refused), dict(one.outcome)) for one in results]


class _Seen:
    """Refuses photographs that are nearly the same as one before them, in the order of names.

    A chunk is compared with those before it, so that a repaired store equals one never broken.
    """

    def __init__(self, writer: PairWriter) -> None:
        self.known = gates.NearDuplicates()
        found: dict[int, list[int]] = {}
        for chunk, outcome in writer.sources():
            if outcome["outcome"] != "duplicate" and "hash" in outcome:
                found.setdefault(chunk, []).append(int(outcome["hash"], 16))
        self.later = deque(sorted(found.items()))
        """Chunks on disk that come after those sifted so far."""

    def sift(
        self, number: int, results: Sequence[tuple[EncodedChunk, dict[str, int], dict[str, object]]], seconds: float
    ) -> _Chunk:
        """One chunk of a store from its photographs' results; numbers must grow from call to call."""
        while self.later and self.later[0][0] < number:
            self.known.extend(self.later.popleft()[1])
        rows: list[EncodedRow] = []
        refused: Counter[str] = Counter()
        outcomes = []
        for encoded, reasons, outcome in results:
            code = outcome.get("hash")
            if code is not None and not self.known.add_code(int(str(code), 16)):
                refused["duplicate"] += max(1, len(encoded.rows))
                outcomes.append(outcome | {"outcome": "duplicate", "pairs": 0})
                continue
            rows += encoded.rows
            refused.update(reasons)
            outcomes.append(outcome)
        return _Chunk(EncodedChunk(tuple(rows)), refused, seconds, outcomes)
