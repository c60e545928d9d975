"""Make the published results anew: base, every method, several steps and training seeds, one table and one curve.

Training seed r draws the suite with generation seed r, so that pictures of different runs pool without being copies,
and each is paired with the base model's picture of the same prompt and seed. WORK keeps everything: a stopped
reproduction goes on where it was.
"""

import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from rich.console import Console

from asap.backbones import load
from asap.backbones.family import LoadOptions, device_named
from asap.benchmark.judge import measured_rates
from asap.benchmark.report import Point
from asap.benchmark.summary import Judged, summarize
from asap.core.files import read_json, write_json, write_text
from asap.stages.encode import encode_pairs, model_fingerprint
from asap.stages.engines import processes
from asap.stages.export import fuse
from asap.stages.generate import generate
from asap.stages.judgepage import judge_page
from asap.stages.judging import run as judge
from asap.stages.lineage import MANIFEST
from asap.stages.measure import calibration_of, load_judged, reference_images
from asap.stages.own import build_own_pairs
from asap.stages.pairs import build_pairs
from asap.stages.people import LEARNED
from asap.stages.report import report
from asap.stages.results import results_page, results_table
from asap.stages.rounds import RoundSettings, align_in_rounds, begun_with, round_folder
from asap.stages.train import latents_of, train
from asap.stores.cache import Cache
from asap.stores.pairs import PairStore

__all__ = ["LOCALIZED", "METHODS", "ReproduceSettings", "aer_at", "mini"]

OWN, AGAIN, ROUND = "own", "again", "round"
"""Behind a plus, they end the name of a method that learns from the model's own mistakes instead of edited bodies:
beside the truth (``stages.own``), or beside its own best tries in round 1, 2... (``stages.rounds``). Rounds go on from
a model that ``CHAIN`` has aligned on edited bodies, with the first training seed; so does "again", on edited bodies."""
CHAIN: Final = "localized_dpo"
METHODS = (
    "sft",
    "dpo",
    "asap",
    "localized_dpo",
    "margin_dpo",
    f"localized_dpo+{OWN}",
    f"{CHAIN}+{AGAIN}",
    f"{CHAIN}+{ROUND}1",
    f"{CHAIN}+{ROUND}2",
)
LOCALIZED = ("asap", "localized_dpo", "asap_hinge", "asap_area", "asap_guard", "localized_sdpo")
"""With any kind of pairs."""
SCREEN: Final = "ranker"
SECONDS: Final = "seconds.json"
"""In a run's folder when its pictures are judged."""

MARKS = ("<!-- results of `asap reproduce mini` -->", "<!-- end of results -->")


@dataclass(frozen=True, kw_only=True)
class ReproduceSettings:
    """Sizes of the reproduction."""

    pairs: int = 2048
    own: int = 240
    """Pairs whose rejected side the model has drawn itself."""
    ranked: int = 240
    """Pairs of each round, of which it has drawn both sides, as the packaged ranker orders them."""
    methods: tuple[str, ...] = METHODS
    snapshots: tuple[int, ...] = (64,)
    """Steps at which each run is measured; the last is its length and the one of "equal steps"."""
    seeds: tuple[int, ...] = (0, 1, 2)
    batch_size: int = 8
    lr: float = 3e-5
    full: bool = True
    workers: int = 2


def mini(out: Path, *, work: Path, settings: ReproduceSettings | None = None, device: str = "auto") -> dict[str, Any]:
    """Write ``results.md``, ``results.json`` and ``judge.md`` to ``out`` and return what the JSON holds.

    Models and judge run on ``device``, a GPU if there is one; the published numbers were made on the CPU.

    Raises:
        InputError: a folder cannot be written or holds something else, or this machine lacks the device.
    """
    how, device = settings or ReproduceSettings(), device_named(device)
    console, began = Console(stderr=True), time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:6.0f} s[/dim]  {text}")

    say(f"building {how.pairs} pairs")
    build_pairs(work / "pairs", count=how.pairs, **LEARNED, workers=how.workers)
    say(f"base model at {len(how.seeds)} seeds")
    generate(work / "base", seeds=list(how.seeds), loading=LoadOptions(device=device), report=say)
    judge(work / "base", work / "base-verdicts", judge="learned", device=device)
    _build_own(work, how, device, say)
    _run_all(work, how, device, say)
    found = _results(work, how)
    write_json(out / "results.json", found)
    write_text(out / "results.md", results_page(found, how.methods, how.snapshots))
    _curve(work, found, how, work / "report")
    write_text(out / "judge.md", judge_page(found["judge"]))
    _refresh(out.resolve().parent / "README.md", results_table(found["mini"], how.methods))
    say(f"wrote {out / 'results.md'}")
    return found


def _build_own(work: Path, how: ReproduceSettings, device: str, say: Any) -> None:  # noqa: ANN401  (a printer)
    """The model's own mistakes, as far as a method learns from them; all seeds of a round learn from the same ones."""
    if any(_own_pairs(name) for name in how.methods):
        say(f"building {how.own} pairs of the model's own mistakes")
        build_own_pairs(work / OWN, count=how.own, scene=LEARNED["scene"], workers=how.workers, device=device)
    rounds, chain = max(_round(name) for name in how.methods), _chain(work, how)
    if any(_goes_on(name) for name in how.methods):
        say(_run_one(work, how, device, CHAIN, how.seeds[0]))
        if not (Path(chain.model) / MANIFEST).is_file():
            shutil.rmtree(chain.model, ignore_errors=True)
            run = work / "runs" / f"{CHAIN}-{how.seeds[0]}"
            fuse("mini", run, Path(chain.model), options=LoadOptions(device=device))
    if rounds:
        align_in_rounds(work / "rounds", rounds=rounds, settings=chain, workers=how.workers, device=device, report=say)


def _chain(work: Path, how: ReproduceSettings) -> RoundSettings:
    """Settings of the rounds whose pairs and models the rows of the table begin with."""
    return RoundSettings(
        model=str((work / "aligned").resolve()), count=how.ranked, screen=SCREEN, scene=LEARNED["scene"], method=CHAIN,
        steps=how.snapshots[-1], batch_size=how.batch_size, lr=how.lr, full=how.full,
    )  # fmt: skip


def _own_pairs(method: str) -> bool:
    return method.endswith(f"+{OWN}")


def _goes_on(method: str) -> bool:
    """Whether a row begins with a model that is aligned already."""
    return method.endswith(f"+{AGAIN}") or _round(method) > 0


def _round(method: str) -> int:
    """The round whose pairs a row learns from; 0 for a row of other pairs."""
    return int(method.partition(f"+{ROUND}")[2] or 0)


def _refresh(readme: Path, lines: Sequence[str]) -> None:
    """Put the table between the marks of the project's README, if there is one with marks."""
    begin, end = MARKS
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    if begin not in text or end not in text:
        return
    head, tail = text.split(begin)[0], text.split(end)[-1]
    write_text(readme, "\n".join([head + begin, "", *lines, "", end + tail]))


def _run_all(work: Path, how: ReproduceSettings, device: str, say: Any) -> None:  # noqa: ANN401  (a printer)
    """Every method and training seed, ``workers`` at a time on one core each."""
    for pairs, model in {(_taught_by(work, method), _begun_with(work, how, method)) for method in how.methods}:
        _encode_all(pairs, model, device)
    jobs = [(method, seed) for seed in how.seeds for method in how.methods]
    with processes(how.workers) as pool:
        submitted = [pool.submit(_run_one, work, how, device, *job) for job in jobs]
        for count, future in enumerate(as_completed(submitted), 1):
            say(f"{count}/{len(jobs)} {future.result()}")


def _encode_all(pairs: Path, model: str, device: str) -> None:
    """Fill the latents cache once, because two runs that both found it short would stop each other."""
    store, backbone = PairStore.open(pairs, split="train"), load(model, LoadOptions(device=device))
    with Cache(latents_of(pairs)) as cache:
        encode_pairs(store, backbone, model_fingerprint(backbone), cache, range(len(store)))


def _taught_by(work: Path, method: str) -> Path:
    """The pairs that a row of the table learns from."""
    if number := _round(method):
        return round_folder(work / "rounds", number) / "pairs"
    return work / (OWN if _own_pairs(method) else "pairs")


def _begun_with(work: Path, how: ReproduceSettings, method: str) -> str:
    """The model that a row aligns."""
    return begun_with(work / "rounds", _chain(work, how), _round(method) or 1) if _goes_on(method) else "mini"


def _run_one(work: Path, how: ReproduceSettings, device: str, method: str, seed: int) -> str:
    """Train one method with one seed, then draw and judge the suite with each of its snapshots."""
    torch.set_num_threads(max(1, 2 // how.workers))
    run, model = work / "runs" / f"{method}-{seed}", _begun_with(work, how, method)
    if (run / SECONDS).is_file():
        return f"{method}, training seed {seed}: done before"
    done = train(
        model,
        _taught_by(work, method),
        run,
        method=method.partition("+")[0],
        steps=how.snapshots[-1],
        batch_size=how.batch_size,
        lr=how.lr,
        seed=seed,
        full=how.full,
        snapshots=how.snapshots,
        device=device,
    )
    for steps in how.snapshots:
        snapshot = run / "snapshots" / f"step-{steps:06d}"
        pictures = _pictures(work, method, seed, steps)
        generate(pictures, model=model, adapter=snapshot, seeds=[seed], loading=LoadOptions(device=device))
        judge(pictures, _verdicts(work, method, seed, steps), judge="learned", device=device)
    write_json(run / SECONDS, {"seconds": done["seconds"], "stopped": done["stopped"]})
    return f"{method}, training seed {seed}: {done['seconds']:.0f} s"


def _pictures(work: Path, method: str, seed: int, steps: int) -> Path:
    return work / "pictures" / f"{method}-{seed}-{steps}"


def _verdicts(work: Path, method: str, seed: int, steps: int) -> Path:
    return work / "verdicts" / f"{method}-{seed}-{steps}"


def _results(work: Path, how: ReproduceSettings) -> dict[str, Any]:
    calibration = calibration_of(work / "base-verdicts")
    rates = measured_rates(calibration)
    base = load_judged(work / "base-verdicts")
    clean = reference_images(work / "pairs", base[0].image.shape[0])
    table: dict[str, Any] = {"base": _row(summarize(base, base, rates, reference=clean), steps=0, seconds=0.0)}
    sweep: dict[str, list[dict[str, Any]]] = {}
    for method in how.methods:
        points = []
        for steps in how.snapshots:
            rows = _pooled(work, how, method, steps)
            summary = summarize(rows, base, rates, reference=clean)
            seconds = _seconds(work, how, method) * steps / how.snapshots[-1]
            total = steps + max(_goes_on(method), _round(method)) * how.snapshots[-1]
            points.append({"base_aer": table["base"]["aer"]} | _row(summary, steps=total, seconds=seconds))
        sweep[method] = points
        table[method] = points[-1]
    table["best"] = _best(sweep)
    settings = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(how).items()}
    return {"mini": table, "sweep": sweep, "judge": calibration, "settings": settings}


def _pooled(work: Path, how: ReproduceSettings, method: str, steps: int) -> list[Judged]:
    return [row for seed in how.seeds for row in load_judged(_verdicts(work, method, seed, steps))]


def _seconds(work: Path, how: ReproduceSettings, method: str) -> float:
    found = [read_json(work / "runs" / f"{method}-{seed}" / SECONDS) for seed in how.seeds]
    return sorted(float(one["seconds"]) for one in found if isinstance(one, dict))[len(found) // 2]


def _row(summary: Mapping[str, Any], *, steps: int, seconds: float) -> dict[str, Any]:
    """One row under the names that others rely on."""
    return {
        "aer": summary["aer"]["value"],
        "ci": summary["aer"]["ci"],
        "aer_corrected": summary["aer_corrected"],
        "n": summary["n"],
        "rsi": summary["rsi"]["value"],
        "win": summary["win"],
        "tie": summary["tie"],
        "lose": summary["lose"],
        "drift": summary["drift"],
        "relative_reduction": summary["paired"]["relative_reduction"],
        "paired_ci": summary["paired"]["difference"],
        "not_visible": summary["not_visible"],
        "by_category": summary["by_category"],
        "seconds": seconds,
        "steps": steps,
    }


def _best(sweep: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The localized method whose curve of AER over drift lies lowest at equal drift; a rule fixed before looking.

    The common drift is the smallest of the methods' largest, so that every curve reaches it.
    """
    common = min(points[-1]["drift"]["outside_change"]["value"] for points in sweep.values())
    localized = (name for name in sweep if name.partition("+")[0] in LOCALIZED)
    return min(localized, key=lambda name: aer_at(sweep[name], common))


def aer_at(points: Sequence[Mapping[str, Any]], drift: float) -> float:
    """AER that a method's curve has at ``drift``, linear between the base (no drift) and its snapshots.

    ``points`` are rows of the sweep in order of steps; beyond the last snapshot its own value is given.
    """
    start = {"drift": 0.0, "aer": float(points[0]["base_aer"])}
    known = [start] + [{"drift": float(p["drift"]["outside_change"]["value"]), "aer": float(p["aer"])} for p in points]
    known.sort(key=lambda point: point["drift"])
    return float(np.interp(drift, [point["drift"] for point in known], [point["aer"] for point in known]))


def _curve(work: Path, found: Mapping[str, Any], how: ReproduceSettings, out: Path) -> None:
    """The HTML report of the whole reproduction, with the curve of AER against drift."""
    points = {
        name: [
            Point(
                label=f"{row['steps']} steps",
                drift=row["drift"]["outside_change"]["value"],
                aer=row["aer"],
                low=row["ci"][0],
                high=row["ci"][1],
            )
            for row in rows
        ]
        for name, rows in found["sweep"].items()
    }
    last, seed = how.snapshots[-1], how.seeds[0]
    report(
        out,
        base=work / "base-verdicts",
        aligned={name: _verdicts(work, name, seed, last) for name in how.methods},
        pairs=work / "pairs",
        runs={name: work / "runs" / f"{name}-{seed}" for name in how.methods},
        sweep=points,
        title="asap reproduce mini",
    )


def quick(settings: ReproduceSettings) -> ReproduceSettings:
    """The same with sizes for a test."""
    methods = ("asap", f"asap+{OWN}", f"asap+{ROUND}1")
    return replace(settings, pairs=64, own=16, ranked=8, methods=methods, snapshots=(2,), seeds=(0,), batch_size=2)
