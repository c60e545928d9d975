"""How fast the judge ``vlm`` asks: 2,000 images by 3 votes against a loopback server that takes 200 ms a reply.

    python benchmarks/judges/throughput.py [--images 2000] [--latency 0.2] [--concurrency 64]

prints one JSON line. Ideal is calls * latency / concurrency: what nobody can beat. Images are drawn, encoded and
hashed on the way, replies are read, checked and kept on disk, as in earnest.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from asap.benchmark.verdict import JudgeInput
from asap.workflows.evaluation.judges.kinds import JudgeContext
from asap.workflows.evaluation.judges.vlm import VlmJudge, VlmSettings

SERVER = Path(__file__).parents[2] / "tests" / "workflows" / "seer.py"


def pictures(count: int, size: int) -> Iterator[JudgeInput]:
    """Different images, smooth as photographs are, made one by one."""
    base = (np.add.outer(np.arange(size), np.arange(size))[..., None] // np.array([7, 9, 11])).astype(np.uint8)
    for index in range(count):
        image = base + np.uint8(index % 256)
        image[0, 0] = index // 256, index % 256, 0
        yield JudgeInput(key=(f"p{index}", 0), image=image, prompt="a hand", parts=("hand",))


def measure(images: int, latency: float, concurrency: int, size: int) -> dict[str, float]:
    """Seconds, and how they compare with the ideal."""
    with tempfile.TemporaryDirectory() as folder:
        call = [sys.executable, str(SERVER), str(Path(folder) / "log"), str(latency)]
        server = subprocess.Popen(call, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        try:
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
            settings = VlmSettings(url=url, model="fast", landmarker="", concurrency=concurrency)
            judge = VlmJudge(settings, JudgeContext(work=Path(folder)))
            started, burnt = time.perf_counter(), time.process_time()
            right = sum(verdict.fails is False for verdict in judge.judge(pictures(images, size)))
            seconds, burnt = time.perf_counter() - started, time.process_time() - burnt
        finally:
            server.kill()
            server.communicate()
    calls = images * settings.votes
    ideal = calls * latency / concurrency
    return {
        "calls": calls,
        "right": right,
        "seconds": round(seconds, 2),
        "ideal": round(ideal, 2),
        "ratio": round(seconds / ideal, 3),
        "cpu_seconds": round(burnt, 2),
        "cpu_ms_a_call": round(1000 * burnt / calls, 3),
    }


def main() -> None:
    """Print the measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--size", type=int, default=512)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.images, arguments.latency, arguments.concurrency, arguments.size)))


if __name__ == "__main__":
    main()
