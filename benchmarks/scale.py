"""How time and memory grow with the number of rows, from 1,000 to 100,000: nothing may grow faster than n log n.

    python benchmarks/scale.py [--rows 1000 10000 100000] [--images 1000 5000 20000] [--keep DIR] [--workers]

Each measurement runs in a process of its own on synthetic data, whose images are tiny: it measures what depends on the
number of rows. Prints seconds, peak memory and the exponent between the two largest sizes (of CPU time, which depends
little on what else runs), and ends with exit code 1 if something grows faster than n log n or misses a target. The time
targets are for an idle machine with two cores.
``--workers`` also measures how much two workers speed up a build of 300 rendered pairs, which takes minutes.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from asap.core.hashing import digest
from asap.core.manifest import Manifest, Parent
from asap.core.records import Edit, GateResult, PairRecord, SceneTruth
from asap.core.seeds import derive
from asap.core.vocabulary import CATEGORIES
from asap.stores.generations import GenerationStore, GenerationWriter
from asap.stores.pairs import EncodedChunk, EncodedRow, PairStore, PairWriter, encode_rows
from asap.stores.verdicts import VerdictRow, VerdictWriter

CHUNK: Final = 128
"""Pairs in a chunk, as `asap pairs build rendered` writes them."""
SEEDS: Final = 4
"""Images per prompt."""
TOLERANCE: Final = 0.15
"""Noise and cache effects allowed in an exponent; quadratic growth shows as 1.9."""
TARGETS: Final = {"open": 2.0, "stats": 4.0, "review": 5.0}
"""Seconds at 100,000 pairs, on two cores."""
MEGABYTES: Final = 1000.0
"""Peak memory of a comparison of two runs of 20,000 images each."""
SPEEDUP: Final = 1.7


def _pairs_folder(root: Path, rows: int) -> Path:
    return root / f"pairs-{rows}"


def _build_pairs(folder: Path, rows: int) -> None:
    """A store of ``rows`` pairs that differ in index, uid and person; every pair has the same tiny images."""
    image, mask = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
    templates = [
        PairRecord(
            uid="", index=0, prompt="a person waves", chosen=image, rejected=image, mask=mask, regions=mask,
            edit=Edit(kind="defect", part=part, side="left", operation=operation, severity=1 + place % 3),
            truth=SceneTruth(
                person="", category=CATEGORIES[place % 5], caption="a person", attributes={"skin": "dark"},
                visible_parts=("hand",), seed=0,
            ),
            box=(0, 0, 4, 4), gates=GateResult(values={"region_ssim": 0.5, "background_ssim": 1.0}, reasons=()),
            keypoints=np.zeros((20, 3), np.float32), split=("train", "train", "train", "val", "test")[place % 5],
            recipe={"source": "bodies"}, parents=(),
        )
        for place, (part, operation) in enumerate(
            (part, operation) for part in ("hand", "arm", "leg") for operation in ("fused", "missing")
        )
    ]  # fmt: skip
    columns = [encode_rows([template]).rows[0].columns for template in templates]
    with PairWriter(folder, {"rows": rows}, CHUNK) as writer:
        for start in range(0, rows, CHUNK):
            chunk = [
                _pair(index, columns[index // 4 % len(columns)]) for index in range(start, min(rows, start + CHUNK))
            ]
            writer.write_chunk(start // CHUNK, EncodedChunk(tuple(chunk)), {"area_too_small": CHUNK // 8}, 1.0)
        writer.finish(Manifest(kind="pairs"))


def _pair(index: int, template: dict[str, object]) -> EncodedRow:
    uid = f"{derive(0, index):016x}"
    key = digest(uid.encode())
    columns = {**template, "index": index, "uid": uid, "digest": key, "person": f"p{index // 4}"}
    return EncodedRow(index=index, uid=uid, split=str(template["split"]), digest=key, columns=columns)


def _run_folder(root: Path, name: str, images: int) -> Path:
    return root / f"runs-{images}" / name


def _build_run(folder: Path, images: int, period: int) -> None:
    """A judged run of ``images`` tiny images, every ``period``-th of which fails."""
    config = {"model": folder.name, "suite": "0" * 64, "suite_name": "scale", "seeds": list(range(SEEDS))}
    with GenerationWriter(folder / "pictures", config) as writer:
        for place in range(images // SEEDS):
            for seed in range(SEEDS):
                image = np.random.default_rng(place).integers(0, 255, (32, 32, 3), dtype=np.uint8)
                facts = {"parts": ["hand", "arm"], "attributes": {"skin": "dark"}}
                writer.add(
                    f"prompt-{place:06d}", seed, image, prompt="a person waves", category=CATEGORIES[place % 5],
                    extra=facts, place=place,
                )  # fmt: skip
        writer.finish(Manifest(kind="generations", config=config))
    store = GenerationStore.open(folder / "pictures")
    judged = {"judge": "vlm", "fingerprint": "f" * 64, "taught_on": None, "generations": store.content_hash}
    with VerdictWriter(folder / "verdicts" / "vlm", judged) as verdicts:
        for place, row in enumerate(store.rows):
            fails = place % period == 0
            extra = {"probability": 0.9 if fails else 0.1, "not_visible": ["hand"] if place % 10 == 0 else []}
            parts = {part: {"visible": 0.9, "wrong": 0.5} for part in ("hand", "arm", "leg", "face")}
            verdicts.add(
                VerdictRow(
                    prompt_id=row.prompt_id, seed=row.seed, category=row.category, fails=fails, parts=parts,
                    attributes={"skin": "dark"}, extra=extra,
                )
            )  # fmt: skip
        parent = Parent("generations", str((folder / "pictures").resolve()), store.content_hash)
        verdicts.finish(Manifest(kind="verdicts", config=judged, parents=(parent,)))


def _measure_open(root: Path, rows: int) -> None:
    PairStore.open(_pairs_folder(root, rows))


def _measure_stats(root: Path, rows: int) -> None:
    PairStore.open(_pairs_folder(root, rows)).stats()


def _measure_review(root: Path, rows: int) -> None:
    from asap.review import Review, build_app
    from asap.workflows.datasets.review import StoredPairs

    pairs = StoredPairs(PairStore.open(_pairs_folder(root, rows)))
    build_app(Review(title="scale", reviewer="ada", pairs=pairs, decisions=_NoDecisions(), token="t"))


class _NoDecisions:
    def read(self) -> Sequence[dict[str, object]]:
        return ()

    def append(self, row: object) -> None:
        raise NotImplementedError


def _measure_duplicates(root: Path, rows: int) -> None:
    from asap.gates.duplicates import BITS, NearDuplicates

    codes = np.random.default_rng(0).bytes(rows * BITS // 8)
    known = NearDuplicates()
    for start in range(0, len(codes), BITS // 8):
        known.add_code(int.from_bytes(codes[start : start + BITS // 8], "big"))


def _measure_bootstrap(root: Path, rows: int) -> None:
    from asap.benchmark.intervals import ratio

    fails = np.random.default_rng(0).random(rows) < 0.3
    ratio(fails, np.ones(rows), [f"prompt-{row}" for row in range(rows)], np.random.default_rng(0))


def _measure_mcnemar(root: Path, rows: int) -> None:
    from asap.benchmark.metrics import mcnemar

    mcnemar(rows // 2 - rows // 100, rows // 2 + rows // 100)


def _measure_compare(root: Path, rows: int) -> None:
    from asap.workflows.evaluation.compare import compare

    with TemporaryDirectory(dir=root) as out:
        compare([_run_folder(root, name, rows) for name in ("base", "tuned")], Path(out))


MEASURES: Final[dict[str, Callable[[Path, int], None]]] = {
    "open": _measure_open,
    "stats": _measure_stats,
    "review": _measure_review,
    "duplicates": _measure_duplicates,
    "bootstrap": _measure_bootstrap,
    "mcnemar": _measure_mcnemar,
    "compare": _measure_compare,
}


def _measure_here(name: str, root: Path, rows: int) -> None:
    """Run one measurement and print it; imports are paid by a first call on the smallest data."""
    folders = root.glob("runs-*" if name == "compare" else "pairs-*")
    MEASURES[name](root, min(int(path.name.rpartition("-")[2]) for path in folders))
    began, began_cpu = time.perf_counter(), time.process_time()
    MEASURES[name](root, rows)
    found = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - began_cpu}
    print(json.dumps({**found, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000}))


def _measured(name: str, root: Path, rows: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", name, "--rows", str(rows), "--keep", str(root)]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, float] = json.loads(found.stdout.splitlines()[-1])
    return result


def _exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float | None:
    """Growth of time over log n between the two largest sizes, as a power of n; None where it is too fast to say."""
    if len(sizes) < 2 or seconds[-1] < 0.05:
        return None
    first, last = (time / math.log(size) for size, time in zip(sizes[-2:], seconds[-2:], strict=True))
    return math.log(last / max(first, 1e-6)) / math.log(sizes[-1] / sizes[-2])


def _speedup(root: Path) -> float:
    """Time of a build of 300 rendered pairs with one worker over that with two."""
    seconds = []
    for workers in (1, 2):
        out = root / f"built-{workers}-{os.getpid()}"
        command = [sys.executable, "-m", "asap.cli", "pairs", "build", "rendered", "--count", "300", "--size", "64"]
        began = time.perf_counter()
        subprocess.run([*command, "--seed", "0", "--workers", str(workers), "--out", str(out)], check=True)
        seconds.append(time.perf_counter() - began)
    print(f"300 rendered pairs: {seconds[0]:.0f} s with one worker, {seconds[1]:.0f} s with two")
    return seconds[0] / seconds[1]


def _build(root: Path, rows: Sequence[int], images: Sequence[int]) -> None:
    """The synthetic stores that are not there yet, without waiting for the disk after every file."""
    sync, os.fsync = os.fsync, lambda _: None
    try:
        for count in rows:
            if not (_pairs_folder(root, count) / "manifest.json").exists():
                _build_pairs(_pairs_folder(root, count), count)
        for count in images:
            for name, period in (("base", 2), ("tuned", 3)):
                if not (_run_folder(root, name, count) / "verdicts" / "vlm" / "manifest.json").exists():
                    _build_run(_run_folder(root, name, count), count, period)
    finally:
        os.fsync = sync


def _faults_of(name: str, sizes: Sequence[int], found: Sequence[dict[str, float]]) -> Iterator[str]:
    """What is wrong with the results of one measurement."""
    grown = _exponent(sizes, [one["cpu"] for one in found])
    if grown is not None and grown > 1 + TOLERANCE:
        yield f"{name} grows as n^{grown:.2f} log n"
    if name in TARGETS and sizes[-1] == 100_000 and found[-1]["seconds"] > TARGETS[name]:
        yield f"{name} takes {found[-1]['seconds']:.1f} s at 100,000 pairs; the target is {TARGETS[name]:.0f} s"
    if name == "compare" and sizes[-1] == 20_000 and found[-1]["megabytes"] > MEGABYTES:
        yield f"compare takes {found[-1]['megabytes']:.0f} MB at 20,000 images; the target is {MEGABYTES:.0f} MB"


def main() -> int:
    """Build the data, measure, print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="numbers of pairs")
    parser.add_argument("--images", type=int, nargs="+", default=[1_000, 5_000, 20_000], help="images per run")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="build the stores here and keep them")
    parser.add_argument("--workers", action="store_true", help="also measure the speed-up of two workers")
    parser.add_argument("--measure", choices=MEASURES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        _measure_here(arguments.measure, arguments.keep, arguments.rows[0])
        return 0
    with TemporaryDirectory() as temporary:
        root = arguments.keep or Path(temporary)
        _build(root, arguments.rows, arguments.images)
        faults: list[str] = []
        for name in MEASURES:
            sizes = sorted(arguments.images if name == "compare" else arguments.rows)
            found = [_measured(name, root, size) for size in sizes]
            grown = _exponent(sizes, [one["cpu"] for one in found])
            cells = [
                f"{size:>9,}: {one['seconds']:7.2f} s {one['megabytes']:5.0f} MB"
                for size, one in zip(sizes, found, strict=True)
            ]
            print(f"{name:<10} {' '.join(cells)}   {'fast' if grown is None else f'n^{grown:.2f} log n'}", flush=True)
            faults += _faults_of(name, sizes, found)
        if arguments.workers and (gain := _speedup(root)) < SPEEDUP:
            faults.append(f"two workers are {gain:.2f} times as fast as one; the target is {SPEEDUP}")
    for fault in faults:
        print(f"FAULT {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
