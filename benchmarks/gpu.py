"""Train the embedded model and the learned judge on a machine with one GPU that is ours for minutes only.

    python benchmarks/gpu.py people mini --seconds 300 --out results
    python benchmarks/gpu.py pairs judge calibrate --seconds 300 --out results

Stages, each stopped after SECONDS; started again, it goes on where it was, and a finished one ends at once:

    people      render people and their captions, on all cores
    mini        train the embedded model on them; without --steps, a short run first says how many fit into SECONDS
    pairs       render and edit people of the judge's own, on all cores
    judge       train the judge on them, after a round trip through the model trained here (the packaged one if none)
    calibrate   measure it on people it has never seen

When a stage is stopped, those behind it wait for the next call. After every call OUT holds what there is by then:
summary.json (seconds, images a second, held-out loss, AUROC) and the weights as results.tar.00, .01... of at most 15
MiB; `cat results.tar.* | tar x` puts them together. WORK keeps everything.
"""

import argparse
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ASAP = (sys.executable, "-m", "asap.cli")
RENDER = """
import sys
from pathlib import Path
from asap.workflows.pairs.people import LEARNED, render_people
count, seed, workers = map(int, sys.argv[2:5])
render_people(Path(sys.argv[1]), count=count, seed=seed, workers=workers, **LEARNED)
"""
STAGES = ("people", "mini", "pairs", "judge", "calibrate")
PROBE = 150
"""Steps of the run that measures the rate."""
SPARE = 0.75
"""Of the time that is left for training, what the steps should fill: looks, checkpoints and start take the rest."""
GRACE = 60
"""Seconds that a stopped stage has to end by itself."""
PIECE = 15 * 2**20
KEPT = ("mini/pipeline/**/*", "mini/log.jsonl", "mini/samples/*", "judge/judge.*", "judge/calibration.json")


def main() -> int:
    """Run the stages asked for; 3 when one of them was stopped by its limit."""
    how = arguments()
    how.work.mkdir(parents=True, exist_ok=True)
    code = 0
    for stage in how.stages:
        begun = time.monotonic()
        code = {"mini": train_mini}.get(stage, plain)(how, stage)
        note(how, stage, code, time.monotonic() - begun)
        if code:
            print(f"{stage}: ended with {code}; run the same again to go on", flush=True)
            break
    pack(how)
    return code


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Stages, limits and sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="+", choices=STAGES, metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--seconds", type=float, default=240.0, help="each stage is stopped after so many (240)")
    parser.add_argument("--work", type=Path, default=Path("runs/gpu"), help="folder of everything (runs/gpu)")
    parser.add_argument("--out", type=Path, required=True, help="folder of summary.json and results.tar.*")
    parser.add_argument("--device", default="auto", help="cuda, cpu (a GPU if there is one)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that render (one a core)")
    parser.add_argument("--seed", type=int, default=0)
    mini = parser.add_argument_group("people and the embedded model")
    mini.add_argument("--people", type=int, default=24000, help="people to render (24000)")
    mini.add_argument("--data", type=Path, help="people rendered elsewhere (WORK/people)")
    mini.add_argument("--init", default="mini", help="go on from these weights; '' for random ones (mini)")
    mini.add_argument("--steps", type=int, help="steps of the denoiser (what fits into SECONDS)")
    mini.add_argument("--batch", type=int, default=256, help="images a step (256)")
    mini.add_argument("--lr", type=float, default=1e-3, help="highest learning rate (1e-3)")
    judge = parser.add_argument_group("pairs and the judge")
    judge.add_argument("--pairs", type=int, default=16384, help="pairs to make (16384)")
    judge.add_argument("--rounded", type=int, default=5000, help="training pairs that take the round trip (5000)")
    judge.add_argument("--window-epochs", type=float, default=24, help="passes over windows (24)")
    judge.add_argument("--epochs", type=float, default=16, help="passes over whole images (16)")
    judge.add_argument("--judge-init", help="go on from this judge: learned, or a folder (random weights)")
    judge.add_argument("--judge-batch", type=int, default=64, help="pairs a step (64)")
    judge.add_argument("--judge-lr", type=float, default=2e-3, help="highest learning rate (2e-3)")
    found = parser.parse_args(words)
    if "mini" in found.stages and not found.init and not found.steps:
        parser.error("random weights have an autoencoder to train first, so say how many --steps follow")
    return found


def command(how: argparse.Namespace, stage: str, steps: int = 0) -> list[str]:
    """The words of a stage; ``steps`` are those of ``mini``."""
    work, place = how.work, ["--device", how.device]
    own = work / "mini" / "pipeline"
    model = ["--model", str(own) if (own / "model_index.json").is_file() else "mini"]
    if stage == "people":
        return [sys.executable, "-c", RENDER, *map(str, (people(how), how.people, how.seed, how.workers))]
    words = {
        "mini": ["mini", "pretrain", "--data", people(how), "--init", how.init, "--steps", steps,
                 "--batch-size", how.batch, "--lr", how.lr, "--seed", how.seed, "--save-every", 45,
                 "--out", work / "mini", *place],
        "pairs": ["pairs", "build", "--source", "bodies", "--namespace", "judge", "--count", how.pairs, "--nulls", 0.12,
                  "--size", 64, "--scene", "studio", "--seed", how.seed, "--workers", how.workers,
                  "--out", work / "pairs"],
        "judge": ["judge", "train", "--pairs", work / "pairs", "--rounded", how.rounded, "--epochs", how.epochs,
                  "--window-epochs", how.window_epochs, "--batch-size", how.judge_batch, "--lr", how.judge_lr, "--seed",
                  how.seed, "--out", work / "judge", *model, *place,
                  *(["--init", how.judge_init] if how.judge_init else [])],
        "calibrate": ["judge", "calibrate", "--judge", work / "judge", "--pairs", work / "pairs", *model, *place],
    }[stage]  # fmt: skip
    return [*ASAP, *map(str, words)]


def people(how: argparse.Namespace) -> Path:
    """The shards that ``mini`` learns from."""
    return how.data or how.work / "people"


def plain(how: argparse.Namespace, stage: str) -> int:
    """Run a stage to its end or its limit."""
    return limited(command(how, stage), how.seconds)


def train_mini(how: argparse.Namespace, stage: str) -> int:
    """Train for ``--steps``, or for as many as a short run says, once and for all calls, that the time is for."""
    begun = time.monotonic()
    chosen = how.work / "steps.json"
    steps = how.steps or (read(chosen) if chosen.is_file() else 0)
    if not steps:
        probe = argparse.Namespace(**{**vars(how), "work": how.work / "probe", "data": people(how)})
        if code := limited(command(probe, stage, PROBE), how.seconds):
            return code
        rate = last(probe.work / "mini" / "log.jsonl")["images_per_s"]
        left = how.seconds - (time.monotonic() - begun)
        steps = max(PROBE, int(SPARE * left * rate / how.batch))
        chosen.write_text(json.dumps(steps), encoding="utf-8")
        print(f"mini: {rate} images a second, so {steps} steps of {how.batch} in {left:.0f} s", flush=True)
        lend(probe.work / "mini", how.work / "mini")
    return limited(command(how, stage, steps), how.seconds - (time.monotonic() - begun))


def lend(probe: Path, run: Path) -> None:
    """Give the run the latents that the probe encoded; it checks by itself that they are its own."""
    run.mkdir(parents=True, exist_ok=True)
    for name in ("latents.npy", "latents.json"):
        if not (run / name).exists():
            shutil.copyfile(probe / name, run / name)


def limited(words: list[str], seconds: float) -> int:
    """Exit code of a command, or 3 when it was stopped, by Ctrl-C's signal first, after ``seconds``."""
    print(" ".join(word for word in words if "\n" not in word), flush=True)
    process = subprocess.Popen(words)
    try:
        return process.wait(timeout=max(seconds, 1))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return 3


def note(how: argparse.Namespace, stage: str, code: int, seconds: float) -> None:
    """Add a call of a stage, and what its log says by now, to the summary."""
    path = how.work / "summary.json"
    known = read(path) if path.is_file() else []
    row = {"stage": stage, "code": code, "seconds": round(seconds, 1), **figures(how.work, stage)}
    path.write_text(json.dumps([*known, row], indent=1), encoding="utf-8")
    print(json.dumps(row), flush=True)


def figures(work: Path, stage: str) -> dict[str, Any]:
    """Of a stage, the newest number of each kind."""
    if stage == "mini":
        return last(work / "mini" / "log.jsonl")
    if stage == "judge":
        return last(work / "judge" / "work" / "run" / "log.jsonl")
    path = work / "judge" / "calibration.json"
    if stage == "calibrate" and path.is_file():
        found = read(path)
        return {name: found[name] for name in ("auroc", "sensitivity", "specificity")}
    return {}


def last(log: Path) -> dict[str, Any]:
    """The newest value of every name in a log of JSON lines; empty if there is none."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    found: dict[str, Any] = {}
    for line in lines:
        found.update(json.loads(line))
    return found


def read(path: Path) -> Any:  # noqa: ANN401
    """What a JSON file holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def pack(how: argparse.Namespace) -> None:
    """Write summary and weights to OUT, the latter in pieces for places that carry small files only."""
    how.out.mkdir(parents=True, exist_ok=True)
    for old in how.out.glob("results.tar.*"):
        old.unlink()
    if (how.work / "summary.json").is_file():
        shutil.copyfile(how.work / "summary.json", how.out / "summary.json")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(path for pattern in KEPT for path in how.work.glob(pattern) if path.is_file()):
            archive.add(path, path.relative_to(how.work))
    data = buffer.getbuffer()
    for place in range(0, len(data), PIECE):
        (how.out / f"results.tar.{place // PIECE:02d}").write_bytes(data[place : place + PIECE])


if __name__ == "__main__":
    sys.exit(main())
