"""Does a build's memory stay flat over very many photographs? Print the resident memory of all its processes.

    python benchmarks/photos/memory.py --inputs 100000 --out runs/memory

makes small images with the user's own masks beside one in ten (the others show nobody), builds pairs from them in
another process, and prints one JSON line: the median resident memory in each tenth of the build, in MiB, and the
growth from the second tenth to the last.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

SIDE = 96
MASKED = 10
"""One image in so many has a mask."""


def main() -> None:
    """Make the images, build, watch, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    folder = arguments.out / "photos"
    make_pictures(folder, arguments.inputs)
    print(json.dumps(watch(folder, arguments.out / "pairs", arguments.workers)))


def make_pictures(folder: Path, count: int) -> None:
    """``count`` different images, a thousand in each folder; those that are there stay."""
    for number in range(count):
        place = folder / f"{number // 1000:04d}"
        path = place / f"{number:07d}.png"
        if path.exists():
            continue
        place.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(number)
        coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path)
        if number % MASKED == 0:
            mask = np.zeros((SIDE, SIDE), np.uint8)
            mask[24:72, 28:68] = 255
            Image.fromarray(mask).save(path.with_suffix(".face.none.mask.png"))


def watch(folder: Path, out: Path, workers: int) -> dict[str, object]:
    """Run the build and sample its memory once a second."""
    command = [sys.executable, "-m", "asap.cli", "pairs", "build", "photos", "--source", str(folder), "--out", str(out)]
    command += ["--landmarker", "user", "--per-image", "1", "--degrade", "warp", "--workers", str(workers)]
    begun, samples = time.monotonic(), list[tuple[float, float, float]]()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as build:
        while build.poll() is None:
            samples.append((time.monotonic() - begun, *resident(build.pid)))
            time.sleep(1.0)
        printed = build.stdout.read() if build.stdout else ""
    if build.returncode:
        raise SystemExit(f"the build ended with {build.returncode}")
    length = samples[-1][0]
    tenths = [[row for row in samples if k <= 10 * row[0] / length < k + 1] for k in range(10)]
    whole = [round(statistics.median(row[1] for row in part), 1) for part in tenths if part]
    parent = [round(statistics.median(row[2] for row in part), 1) for part in tenths if part]
    return {
        "seconds": round(length, 1),
        "samples": len(samples),
        "all_processes_mib": whole,
        "parent_mib": parent,
        "growth": round(whole[-1] / whole[1] - 1, 4),
        "accepted": next(line.split()[1] for line in printed.splitlines() if line.startswith("accepted")),
    }


def resident(pid: int) -> tuple[float, float]:
    """Resident MiB of a process with all below it, and of itself."""
    try:
        process = psutil.Process(pid)
        own = process.memory_info().rss / 2**20
        below = sum(child.memory_info().rss for child in process.children(recursive=True)) / 2**20
    except psutil.NoSuchProcess:
        return 0.0, 0.0
    return own + below, own


if __name__ == "__main__":
    main()
