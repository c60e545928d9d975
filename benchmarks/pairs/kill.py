"""Does a build that is killed end with the same content as one that is not? Print both hashes as one JSON line.

    python benchmarks/pairs/kill.py --kills 3 --out runs/kill -- --source bodies --count 10240 --size 128

runs ``asap pairs build`` with the arguments behind ``--`` once without interruption (into OUT/whole; a finished one is
taken as it is) and once more into OUT/killed, where the process and all its workers get SIGKILL when a random share of
the parts is done and a random moment more has passed, and the same command is run again until it ends. Shares and not
seconds, because the second build may be quicker than the first; drawn anew each time, so every run kills elsewhere.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil


def main() -> None:
    """Build, kill, rebuild, compare; ends with 1 when the hashes differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("build", nargs="+", help="arguments of `asap pairs build` but --out")
    arguments = parser.parse_args()
    begun = time.monotonic()
    whole = arguments.out / "whole"
    if not (whole / "manifest.json").exists():
        subprocess.run(command(arguments.build, whole), check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - begun
    length, parts = max(seconds, recorded(whole)), done(whole)
    killed = arguments.out / "killed"
    shares = sorted(random.uniform(0.05, 0.9) for _ in range(arguments.kills))
    delays = [random.uniform(0, length / parts) for _ in shares]
    plan = zip(shares, delays, strict=True)
    deaths = [kill_at(command(arguments.build, killed), killed, share * parts, delay) for share, delay in plan]
    subprocess.run(command(arguments.build, killed), check=True, stdout=subprocess.DEVNULL)
    hashes = {name: content(folder) for name, folder in (("whole", whole), ("killed", killed))}
    same = hashes["whole"] == hashes["killed"]
    print(json.dumps({"seconds": round(length, 1), "killed_after": deaths, **hashes, "same": same}))
    sys.exit(not same)


def command(build: list[str], out: Path) -> list[str]:
    """The build into ``out``."""
    return [sys.executable, "-m", "asap.cli", "pairs", "build", *build, "--out", str(out)]


def kill_at(words: list[str], folder: Path, parts: float, delay: float) -> dict[str, float] | None:
    """Start a build, kill it with its workers ``delay`` seconds after so many parts are done; None if it ended first.

    Returns after how many seconds it died, and with how many parts done.
    """
    begun = time.monotonic()
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as build:
        while done(folder) < parts and build.poll() is None:
            time.sleep(0.05)
        try:
            build.wait(timeout=delay)
        except subprocess.TimeoutExpired:
            workers = psutil.Process(build.pid).children(recursive=True)
            for process in [psutil.Process(build.pid), *workers]:
                try:
                    process.send_signal(signal.SIGKILL)
                except psutil.NoSuchProcess:
                    continue
            return {"seconds": round(time.monotonic() - begun, 1), "parts": done(folder)}
    return None


def done(folder: Path) -> int:
    """Parts that a build has finished."""
    return sum(1 for _ in (folder / "parts").glob("*.json"))


def recorded(folder: Path) -> float:
    """Seconds that a finished build says it took."""
    return sum(float(json.loads(path.read_text())["seconds"]) for path in (folder / "parts").glob("*.json"))


def content(folder: Path) -> str:
    """The content hash of a finished store."""
    return str(json.loads((folder / "manifest.json").read_text())["notes"]["content_hash"])


if __name__ == "__main__":
    main()
