"""Make the published results anew: base, every method, several steps and training seeds, one table and one curve.

Training seed r draws the suite with generation seed r, so that images of different runs pool without being copies,
and each is paired with the base model's image of the same prompt and seed. WORK keeps everything: a stopped
reproduction goes on where it was.
"""

import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from rich.console import Console

from asap.backbones import load
from asap.backbones.family import LoadOptions, device_named
from asap.backbones.fingerprint import model_fingerprint
from asap.benchmark.judge import measured_rates
from asap.benchmark.report import Point
from asap.benchmark.summary import Judged, summarize
from asap.core.files import read_json, write_json, write_text
from asap.stores.cache import Cache
from asap.stores.pairs import PairStore
from asap.workflows.evaluation.generate import generate
from asap.workflows.evaluation.metrics import calibration_of, load_judged, reference_images
from asap.workflows.evaluation.report import report
from asap.workflows.evaluation.run_judge import run as judge
from asap.workflows.pairs.on_policy import build_own_pairs
from asap.workflows.pairs.people import LEARNED
from asap.workflows.pairs.rendered import build_pairs
from asap.workflows.results.calibration_page import judge_page
from asap.workflows.results.equal_drift import best_at, equal_drift
from asap.workflows.results.results_page import results_page, results_table
from asap.workflows.runtime.lineage import MANIFEST
from asap.workflows.runtime.parallel import processes
from asap.workflows.training.export import fuse
from asap.workflows.training.iterative import RoundSettings, align_in_rounds, begun_with, round_folder
from asap.workflows.training.latents import encode_pairs
from asap.workflows.training.run import latents_of, train

__all__ = ["LOCALIZED", "METHODS", "ReproduceSettings", "mini"]

OWN, AGAIN, ROUND = "own", "again", "round"
"""Behind a plus, they end the name of a method that learns from the model's own mistakes instead of edited bodies:
beside the truth (``pairs.on_policy``), or beside its own best tries in round 1, 2... (``training.iterative``). "again"
goes on from the model that ``CHAIN`` has aligned on edited bodies, on them again and with that model as the reference;
rounds go on from the model of "again". What a row goes on from was trained with the first training seed."""
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
"""In a run's folder when its images are judged."""

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
    steps: int = 64
    """Steps of the table at equal steps, and of every row that goes on from another or learns from own mistakes."""
    snapshots: tuple[int, ...] = (64, 128)
    """Steps at which other rows are measured, ``steps`` among them; the last is their length."""
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
    write_text(out / "results.md", results_page(found, how.methods, how.steps))
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
    for name in _begun(how):
        say(_run_one(work, how, device, name, how.seeds[0]))
        _fuse(work, how, name, device)
    if rounds := max(_round(name) for name in how.methods):
        chain = _chain(work, how)
        align_in_rounds(work / "rounds", rounds=rounds, settings=chain, workers=how.workers, device=device, report=say)


def _begun(how: ReproduceSettings) -> list[str]:
    """Rows whose model, with the first training seed, others go on from; in this order."""
    rounds = any(_round(name) for name in how.methods)
    return [CHAIN, f"{CHAIN}+{AGAIN}"][: 2 if rounds else int(any(_goes_on(name) for name in how.methods))]


def _fuse(work: Path, how: ReproduceSettings, name: str, device: str) -> None:
    """The model of a row after ``steps``, with the first training seed, as a pipeline folder."""
    folder, run = _fused(work, name), work / "runs" / f"{name}-{how.seeds[0]}"
    if (folder / MANIFEST).is_file():
        return
    shutil.rmtree(folder, ignore_errors=True)
    fuse(_begun_with(work, how, name), _snapshot(run, how.steps), folder, options=LoadOptions(device=device))


def _fused(work: Path, name: str) -> Path:
    return (work / "aligned" / name).resolve()


def _snapshot(run: Path, steps: int) -> Path:
    return run / "snapshots" / f"step-{steps:06d}"


def _chain(work: Path, how: ReproduceSettings) -> RoundSettings:
    """Settings of the rounds whose pairs and models the rows of the table begin with."""
    return RoundSettings(
        model=str(_fused(work, f"{CHAIN}+{AGAIN}")), count=how.ranked, screen=SCREEN, scene=LEARNED["scene"],
        method=CHAIN, steps=how.steps, batch_size=how.batch_size, lr=how.lr, full=how.full,
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
    if number := _round(method):
        return begun_with(work / "rounds", _chain(work, how), number)
    return str(_fused(work, CHAIN)) if _goes_on(method) else "mini"


def _measured(how: ReproduceSettings, method: str) -> tuple[int, ...]:
    """Steps at which a row is measured, the last one its length."""
    return (how.steps,) if "+" in method else how.snapshots


def _before(method: str) -> list[str]:
    """The rows whose models a row went through, the first of all first."""
    again = f"{CHAIN}+{AGAIN}"
    if number := _round(method):
        return [CHAIN, again, *(f"{CHAIN}+{ROUND}{earlier}" for earlier in range(1, number))]
    return [CHAIN] if _goes_on(method) else []


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
        steps=_measured(how, method)[-1],
        batch_size=how.batch_size,
        lr=how.lr,
        seed=seed,
        full=how.full,
        snapshots=_measured(how, method),
        device=device,
    )
    for steps in _measured(how, method):
        snapshot = _snapshot(run, steps)
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
        sweep[method] = _points(work, how, method, base, rates, clean)
        table[method] = sweep[method][_measured(how, method).index(how.steps)]
    compared = equal_drift({method: _path(sweep, how, method) for method in how.methods})
    table["best"] = best_at(compared, [name for name in sweep if name.partition("+")[0] in LOCALIZED])
    settings = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(how).items()}
    return {"mini": table, "sweep": sweep, "equal_drift": compared, "judge": calibration, "settings": settings}


def _points(
    work: Path, how: ReproduceSettings, method: str, base: list[Judged], rates: Any, clean: Any  # noqa: ANN401
) -> list[dict[str, Any]]:  # fmt: skip
    """One method's rows, in order of steps."""
    points, measured = [], _measured(how, method)
    for steps in measured:
        rows = _pooled(work, how, method, steps)
        summary = summarize(rows, base, rates, reference=clean)
        seconds = _seconds(work, how, method) * steps / measured[-1]
        points.append(_row(summary, steps=steps + len(_before(method)) * how.steps, seconds=seconds))
    return points


def _path(sweep: Mapping[str, list[dict[str, Any]]], how: ReproduceSettings, method: str) -> list[dict[str, Any]]:
    """The rows that a method's model went through; of those before it, as far as they are in the table."""
    begun = [name for name in _before(method) if name in sweep]
    return [row for name in begun for row in sweep[name][: _measured(how, name).index(how.steps) + 1]] + sweep[method]


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
    seed = how.seeds[0]
    report(
        out,
        base=work / "base-verdicts",
        aligned={name: _verdicts(work, name, seed, how.steps) for name in how.methods},
        pairs=work / "pairs",
        runs={name: work / "runs" / f"{name}-{seed}" for name in how.methods},
        sweep=points,
        title="asap reproduce mini",
    )


def quick(settings: ReproduceSettings) -> ReproduceSettings:
    """The same with sizes for a test."""
    methods = ("asap", f"asap+{OWN}", f"asap+{ROUND}1")
    return replace(
        settings, pairs=64, own=16, ranked=8, methods=methods, steps=2, snapshots=(2,), seeds=(0,), batch_size=2
    )
