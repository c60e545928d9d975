"""The one builder of pair stores: propose -> gates -> filter -> near-duplicates -> split -> record -> [pairs].

A producer proposes candidates (``workflows.pairs.producer``). Work is cut into batches of indices, which run in this
process, in a pool of processes or on a cluster, and come back in order. The content of a store depends on the producer
alone: not on engine and workers, and not on how often the build was killed and run again.
"""

import json
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Final

from rich.console import Console
from rich.progress import Progress

from asap import gates
from asap.core.errors import InputError, UnknownNameError
from asap.core.files import write_text
from asap.core.hashing import canonical_json
from asap.core.manifest import Manifest
from asap.core.pairs import assemble_pair, split_of
from asap.stores.pairs import EncodedChunk, EncodedRow, PairWriter, encode_rows
from asap.workflows.pairs.candidate import Candidate, Group, Refusal
from asap.workflows.pairs.filters import Passed
from asap.workflows.pairs.producer import PairProducer
from asap.workflows.runtime.parallel import ENGINES, in_order

__all__ = ["SOURCES", "build_store"]

SOURCES: Final = "sources.jsonl"
"""One line per photograph, with what became of it; written when the store is finished."""
HASH: Final = "perceptual_hash"
"""Key of a recipe: hash of the chosen image, in hexadecimal."""
DUPLICATE: Final = "near_duplicate"


def build_store(out: Path, producer: PairProducer, *, engine: str = "pool", workers: int = 1) -> str:
    """Build the store of ``producer`` at ``out`` and return its content hash; a stopped build continues.

    Args:
        out: folder of the store.
        producer: proposes the pairs.
        engine: of ``parallel.ENGINES``; producers that fill a device by themselves run in this process.
        workers: processes.

    Raises:
        InputError: an unwritable folder, a folder built with other settings, or too few candidates pass.
        StoreError: another process writes the store, or a set of photographs gave no pair.
        UnknownNameError: no such engine.
    """
    if engine not in ENGINES:
        raise UnknownNameError("engine", engine, ENGINES)
    config, checks = dict(producer.config()), producer.filter
    instruments = (*producer.instruments(), *checks.instruments())
    count = producer.count
    with PairWriter(out, config, producer.chunk) as writer, Progress(console=Console(stderr=True)) as bar:
        build = _Build(writer, producer)
        spans = _spans(producer, writer.done_chunks())
        task = bar.add_task(producer.title, total=count or producer.total)
        bar.update(task, completed=build.progress)
        if count is None or build.accepted < count:
            made = in_order(
                "serial" if producer.one_process else engine,
                partial(_make, producer),
                spans,
                workers,
                wanted=build.wanted,
                start=producer.prepare,
            )
            for span, results in made:
                finished = build.take(span, results)
                bar.update(task, completed=build.progress)
                if finished:
                    break
        if count is not None and build.accepted < count:
            raise InputError(build.shortfall())
        outcomes = [canonical_json(outcome) + "\n" for _, outcome in writer.sources()]
        if outcomes:
            write_text(out / SOURCES, "".join(outcomes))
        versions = {name: version(name) for name in producer.versions}
        return writer.finish(Manifest(kind="pairs", config=config, versions=versions, instruments=instruments))


def _spans(producer: PairProducer, done: set[int]) -> Iterator[range]:
    """The batches of indices of all chunks that are not on disk, in order."""
    for first in range(0, producer.total, producer.chunk):
        if first // producer.chunk not in done:
            stop = min(first + producer.chunk, producer.total)
            for start in range(first, stop, producer.batch):
                yield range(start, min(start + producer.batch, stop))


@dataclass(frozen=True)
class _Made:
    """What came of one image, or of one photograph with several indices; small enough to be sent between processes."""

    rows: tuple[EncodedRow, ...]
    refused: Counter[str]
    code: int | None
    """Perceptual hash."""
    outcome: dict[str, object] | None
    """Of a photograph, for the store."""


def _make(producer: PairProducer, span: range) -> list[_Made]:
    """Everything that a worker does for one batch."""
    rows: dict[int, EncodedRow] = {}
    refused: dict[int, list[str]] = {index: [] for index in span}
    tried: Counter[int] = Counter()
    pending = list(span)
    for attempt in range(producer.attempts):
        again: list[int] = []
        for index, proposal in zip(pending, producer.propose(pending, attempt) if pending else (), strict=True):
            if isinstance(proposal, Refusal):
                refused[index].append(proposal.reason)
                again += [] if proposal.final else [index]
                continue
            passed = producer.filter.judge(proposal)
            if isinstance(passed, Passed):
                rows[index] = _row(producer, index, attempt, proposal, passed)
                continue
            refused[index].append(passed)
            tried[index] += 1
            again += [index] if tried[index] < producer.tries else []
        pending = again
    groups = list(producer.groups(span))
    if groups:
        return [_of_photograph(group, rows, refused) for group in groups]
    return [
        _Made((rows[index],), Counter(refused[index]), _code(rows[index]), None)
        if index in rows
        else _Made((), Counter(refused[index]), None, None)
        for index in span
    ]


def _of_photograph(group: Group, rows: dict[int, EncodedRow], refused: dict[int, list[str]]) -> _Made:
    made = tuple(rows[index] for index in group.indices if index in rows)
    reasons = Counter([group.fault] if group.fault else [r for index in group.indices for r in refused[index]])
    outcome = {**group.facts, "outcome": group.fault or ("pairs" if made else "no_pair"), "pairs": len(made)}
    if group.code is not None:
        outcome["hash"] = f"{group.code:048x}"
    return _Made(made, reasons, group.code, outcome)


def _row(producer: PairProducer, index: int, attempt: int, candidate: Candidate, passed: Passed) -> EncodedRow:
    """The pair as the store takes it."""
    recipe = {"seed": producer.seed, **candidate.recipe}
    if not candidate.source:
        recipe |= {"index": index, HASH: f"{gates.perceptual_hash(passed.chosen):048x}"}
    if producer.attempts > 1:
        recipe["attempt"] = attempt
    record = assemble_pair(
        uid=candidate.uid,
        index=index,
        chosen=passed.chosen,
        rejected=passed.rejected,
        mask=passed.mask,
        regions=candidate.regions,
        edit=passed.edit,
        truth=candidate.truth,
        gates=passed.gates,
        keypoints=candidate.keypoints,
        split=split_of(producer.seed, candidate.split_by),
        recipe=recipe,
        source=candidate.source,
        parents=candidate.parents,
    )
    return encode_rows([record]).rows[0]


def _code(row: EncodedRow) -> int:
    return int(json.loads(str(row.columns["recipe"]))[HASH], 16)


@dataclass
class _Chunk:
    """What is to be written at once."""

    number: int
    rows: list[EncodedRow] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    outcomes: list[dict[str, object]] = field(default_factory=list)


class _Build:
    """A store that grows: refuses near-duplicates, stops at the number of pairs wanted, writes whole chunks."""

    def __init__(self, writer: PairWriter, producer: PairProducer) -> None:
        self.writer, self.producer = writer, producer
        self.accepted = writer.accepted()
        self.tried = 0
        self.made = 0
        """Pairs accepted of ``tried`` indices, of this run."""
        self.refused: Counter[str] = Counter()
        self.chunk = _Chunk(-1)
        self.known = gates.NearDuplicates()
        self.later = deque((number, list(codes)) for number, codes in _stored_codes(writer))
        self.last = monotonic()

    @property
    def progress(self) -> int:
        """Pairs, or indices where all of them are tried."""
        if self.producer.count is not None:
            return min(self.accepted, self.producer.count)
        return min(len(self.writer.done_chunks()) * self.producer.chunk + self.tried, self.producer.total)

    def wanted(self, ahead: int) -> bool:
        """Whether more than ``ahead`` batches are needed, at the rate at which indices gave pairs so far."""
        if self.producer.count is None:
            return True
        rate = (self.made + 1) / (self.tried + 1)
        return self.accepted + ahead * self.producer.batch * rate < self.producer.count

    def take(self, span: range, results: Sequence[_Made]) -> bool:
        """Add a batch and write its chunk when it is whole; True when there are as many pairs as wanted.

        An image is compared with those of lower indices only, so that a repaired store equals one never broken.
        """
        number = span.start // self.producer.chunk
        if number != self.chunk.number:
            self.chunk = _Chunk(number)
            while self.later and self.later[0][0] < number:
                self.known.extend(self.later.popleft()[1])
        finished = False
        for made in results:
            self._add(made)
            if self.accepted == self.producer.count:
                finished = True
                break
        self.tried += len(span)
        if finished or span.stop in ((number + 1) * self.producer.chunk, self.producer.total):
            now = monotonic()
            rows = EncodedChunk(tuple(self.chunk.rows))
            self.writer.write_chunk(number, rows, self.chunk.refused, now - self.last, self.chunk.outcomes)
            self.last = now
        return finished

    def _add(self, made: _Made) -> None:
        outcome, rows, refused = made.outcome, made.rows, made.refused
        if made.code is not None and not self.known.add_code(made.code):
            refused = refused + Counter({DUPLICATE: max(1, len(rows))})
            outcome, rows = outcome and {**outcome, "outcome": "duplicate", "pairs": 0}, ()
        self.chunk.rows += rows
        self.chunk.refused.update(refused)
        self.chunk.outcomes += [] if outcome is None else [outcome]
        self.refused.update(refused)
        self.accepted += len(rows)
        self.made += len(rows)

    def shortfall(self) -> str:
        """Why the build ends without its pairs."""
        most = ", ".join(f"{reason} {times}" for reason, times in self.refused.most_common(3))
        return (
            f"{self.producer.total} images gave {self.accepted} pairs of {self.producer.count} (refused most often: "
            f"{most or 'nothing'}); change the settings or take another model"
        )


def _stored_codes(writer: PairWriter) -> Iterator[tuple[int, list[int]]]:
    """Perceptual hashes of what is on disk by chunk, in order: of accepted images, and of all photographs read."""
    found: dict[int, list[int]] = {}
    for chunk, recipe in writer.recipes():
        if HASH in recipe:
            found.setdefault(chunk, []).append(int(recipe[HASH], 16))
    for chunk, outcome in writer.sources():
        if outcome["outcome"] != "duplicate" and "hash" in outcome:
            found.setdefault(chunk, []).append(int(outcome["hash"], 16))
    yield from sorted(found.items())
