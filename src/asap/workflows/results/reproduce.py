"""Compute the published results: the base and every method at several numbers of steps and training seeds.

The model of training seed r generates the suite with generation seed r, so images of different runs can be pooled
without being copies, and each is paired with the base model's image of the same prompt and seed. The work folder keeps
everything; a stopped reproduction resumes.
"""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from rich.console import Console

from asap.backbones import load
from asap.backbones.family import LoadOptions, device_named
from asap.backbones.fingerprint import model_fingerprint
from asap.benchmark.judge import measured_rates
from asap.benchmark.report import Point
from asap.benchmark.summary import summarize
from asap.core.files import read_json, write_json, write_text
from asap.stores.cache import Cache
from asap.stores.pairs import PairStore
from asap.workflows.evaluation.compare import compare
from asap.workflows.evaluation.generate import generate
from asap.workflows.evaluation.judged import JudgedRun, calibration_of, open_judged, pixel_drift, reference_images
from asap.workflows.evaluation.run_judge import run as judge
from asap.workflows.pairs.builder import build_store
from asap.workflows.pairs.on_policy import OnPolicy
from asap.workflows.pairs.people import LEARNED
from asap.workflows.pairs.rendered import Rendered
from asap.workflows.results.calibration_page import calibration_page
from asap.workflows.results.equal_drift import best_at, equal_drift
from asap.workflows.results.results_page import results_page, results_table
from asap.workflows.runtime.lineage import MANIFEST
from asap.workflows.runtime.parallel import processes
from asap.workflows.training.export import fuse
from asap.workflows.training.iterative import RoundSettings, align_in_rounds, round_folder, start_model
from asap.workflows.training.latents import encode_pairs
from asap.workflows.training.run import latents_of, train

__all__ = ["LOCALIZED", "METHODS", "ReproduceSettings", "mini"]

ON_POLICY, AGAIN, ROUND = "own", "again", "round"
"""Suffixes of a row's name, after a plus. ``own``: trained on on-policy pairs, the model's mistakes beside the rendered
truth (``pairs.on_policy``). ``again``: continues the model of ``FIRST_METHOD`` on the same rendered pairs, with that
model as the reference. ``round1``, ``round2``...: iterative training that continues the model of ``again``
(``training.iterative``). The model that a row continues was trained with the first training seed."""
FIRST_METHOD: Final = "localized_dpo"
METHODS = (
    "sft",
    "dpo",
    "asap",
    "localized_dpo",
    "margin_dpo",
    f"localized_dpo+{ON_POLICY}",
    f"{FIRST_METHOD}+{AGAIN}",
    f"{FIRST_METHOD}+{ROUND}1",
    f"{FIRST_METHOD}+{ROUND}2",
)
LOCALIZED = ("asap", "localized_dpo", "asap_hinge")
"""Methods that weigh the mask, with any kind of pairs."""
SCREEN: Final = "ranker"
SECONDS: Final = "seconds.json"
"""File in a run's folder, written when its images are judged."""
Report = Callable[[str], None]
MARKS = ("<!-- results of `asap reproduce mini` -->", "<!-- end of results -->")


@dataclass(frozen=True, kw_only=True)
class ReproduceSettings:
    """Sizes of the reproduction."""

    pairs: int = 2048
    own: int = 240
    """On-policy pairs."""
    ranked: int = 240
    """Pairs of each round of iterative training; both sides are on-policy, ordered by the packaged ranker."""
    methods: tuple[str, ...] = METHODS
    steps: int = 64
    """Steps of the table at equal steps, and of every row with a suffix."""
    snapshots: tuple[int, ...] = (64, 128)
    """Steps after which other rows are measured, ``steps`` among them; the last is the length of their runs."""
    seeds: tuple[int, ...] = (0, 1, 2)
    batch_size: int = 8
    lr: float = 3e-5
    full: bool = True
    workers: int = 2


def mini(out: Path, *, work: Path, settings: ReproduceSettings | None = None, device: str = "auto") -> dict[str, Any]:
    """Write ``results.md``, ``results.json`` and ``judge.md`` to ``out`` and return what the JSON holds.

    Models and judge run on ``device``; auto uses a GPU if there is one. The published results were computed on the CPU.

    Raises:
        InputError: a folder cannot be written or holds something else, or this machine lacks the device.
    """
    how, device = settings or ReproduceSettings(), device_named(device)
    console, began = Console(stderr=True), time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:6.0f} s[/dim]  {text}")

    say(f"building {how.pairs} pairs")
    build_store(work / "pairs", Rendered(count=how.pairs, **LEARNED), workers=how.workers)
    say(f"base model at {len(how.seeds)} seeds")
    generate(work / "base", seeds=list(how.seeds), loading=LoadOptions(device=device), report=say)
    judge(work / "base", work / "base-verdicts", judge="learned", device=device)
    _prepare_models(work, how, device, say)
    _run_all(work, how, device, say)
    found = _results(work, how)
    write_json(out / "results.json", found)
    write_text(out / "results.md", results_page(found, how.methods, how.steps))
    _curve(work, found, how, work / "report")
    write_text(out / "judge.md", calibration_page(found["judge"]))
    _refresh(out.resolve().parent / "README.md", results_table(found["mini"], how.methods))
    say(f"wrote {out / 'results.md'}")
    return found


def _prepare_models(work: Path, how: ReproduceSettings, device: str, say: Report) -> None:
    """On-policy pairs and the models that rows continue, as far as the methods need them."""
    if any(_on_policy(name) for name in how.methods):
        say(f"building {how.own} on-policy pairs")
        producer = OnPolicy(count=how.own, scene=LEARNED["scene"], device=device)
        build_store(work / ON_POLICY, producer, workers=how.workers)
    for name in _continued_rows(how):
        say(_run_one(work, how, device, name, how.seeds[0]))
        _fuse(work, how, name, device)
    if rounds := max(_iteration(name) for name in how.methods):
        chain = _iterative_settings(work, how)
        align_in_rounds(work / "rounds", rounds=rounds, settings=chain, workers=how.workers, device=device, report=say)


def _continued_rows(how: ReproduceSettings) -> list[str]:
    """Rows whose models other rows continue, in the order in which they must be trained."""
    rows = [FIRST_METHOD, f"{FIRST_METHOD}+{AGAIN}"]
    if any(_iteration(name) for name in how.methods):
        return rows
    return rows[:1] if any(_continues(name) for name in how.methods) else []


def _fuse(work: Path, how: ReproduceSettings, name: str, device: str) -> None:
    """Write the model of a row after ``steps``, with the first training seed, as a pipeline folder."""
    folder, run = _fused(work, name), work / "runs" / f"{name}-{how.seeds[0]}"
    if (folder / MANIFEST).is_file():
        return
    shutil.rmtree(folder, ignore_errors=True)
    fuse(_start_model(work, how, name), _snapshot(run, how.steps), folder, options=LoadOptions(device=device))


def _fused(work: Path, name: str) -> Path:
    return (work / "aligned" / name).resolve()


def _snapshot(run: Path, steps: int) -> Path:
    return run / "snapshots" / f"step-{steps:06d}"


def _iterative_settings(work: Path, how: ReproduceSettings) -> RoundSettings:
    """Settings of iterative training."""
    return RoundSettings(
        model=str(_fused(work, f"{FIRST_METHOD}+{AGAIN}")), count=how.ranked, screen=SCREEN, scene=LEARNED["scene"],
        method=FIRST_METHOD, steps=how.steps, batch_size=how.batch_size, lr=how.lr, full=how.full,
    )  # fmt: skip


def _on_policy(method: str) -> bool:
    return method.endswith(f"+{ON_POLICY}")


def _continues(method: str) -> bool:
    """Whether a row starts from an aligned model."""
    return method.endswith(f"+{AGAIN}") or _iteration(method) > 0


def _iteration(method: str) -> int:
    """The round of iterative training whose pairs a row is trained on; 0 for rows of other pairs."""
    return int(method.partition(f"+{ROUND}")[2] or 0)


def _refresh(readme: Path, lines: Sequence[str]) -> None:
    """Replace the table between the marks of the project's README, if it has them."""
    begin, end = MARKS
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    if begin not in text or end not in text:
        return
    head, tail = text.split(begin)[0], text.split(end)[-1]
    write_text(readme, "\n".join([head + begin, "", *lines, "", end + tail]))


def _run_all(work: Path, how: ReproduceSettings, device: str, say: Report) -> None:
    """Every method and training seed, ``workers`` at a time on one core each."""
    for pairs, model in {(_training_pairs(work, method), _start_model(work, how, method)) for method in how.methods}:
        _encode_all(pairs, model, device)
    jobs = [(method, seed) for seed in how.seeds for method in how.methods]
    with processes(how.workers) as pool:
        submitted = [pool.submit(_run_one, work, how, device, *job) for job in jobs]
        for count, future in enumerate(as_completed(submitted), 1):
            say(f"{count}/{len(jobs)} {future.result()}")


def _encode_all(pairs: Path, model: str, device: str) -> None:
    """Fill the cache of latents once, because two runs that fill it at a time would stop each other."""
    store, backbone = PairStore.open(pairs, split="train"), load(model, LoadOptions(device=device))
    with Cache(latents_of(pairs)) as cache:
        encode_pairs(store, backbone, model_fingerprint(backbone), cache, range(len(store)))


def _training_pairs(work: Path, method: str) -> Path:
    """The pairs that a row is trained on."""
    if number := _iteration(method):
        return round_folder(work / "rounds", number) / "pairs"
    return work / (ON_POLICY if _on_policy(method) else "pairs")


def _start_model(work: Path, how: ReproduceSettings, method: str) -> str:
    """The model that a row starts from, also its reference."""
    if number := _iteration(method):
        return start_model(work / "rounds", _iterative_settings(work, how), number)
    return str(_fused(work, FIRST_METHOD)) if _continues(method) else "mini"


def _measured_steps(how: ReproduceSettings, method: str) -> tuple[int, ...]:
    """Steps after which a row is measured; the last is the length of its run."""
    return (how.steps,) if "+" in method else how.snapshots


def _earlier_rows(method: str) -> list[str]:
    """The rows that a row continues, in order of training."""
    again = f"{FIRST_METHOD}+{AGAIN}"
    if number := _iteration(method):
        return [FIRST_METHOD, again, *(f"{FIRST_METHOD}+{ROUND}{earlier}" for earlier in range(1, number))]
    return [FIRST_METHOD] if _continues(method) else []


def _run_one(work: Path, how: ReproduceSettings, device: str, method: str, seed: int) -> str:
    """Train one method with one seed, then generate and judge the suite with each of its snapshots."""
    torch.set_num_threads(max(1, 2 // how.workers))
    run, model = work / "runs" / f"{method}-{seed}", _start_model(work, how, method)
    if (run / SECONDS).is_file():
        return f"{method}, training seed {seed}: done before"
    done = train(
        model,
        _training_pairs(work, method),
        run,
        method=method.partition("+")[0],
        scale="none",  # the published rows of margin methods have the paper's absolute margin
        steps=_measured_steps(how, method)[-1],
        batch_size=how.batch_size,
        lr=how.lr,
        seed=seed,
        full=how.full,
        snapshots=_measured_steps(how, method),
        device=device,
    )
    for steps in _measured_steps(how, method):
        snapshot = _snapshot(run, steps)
        images = _images(work, method, seed, steps)
        generate(images, model=model, adapter=snapshot, seeds=[seed], loading=LoadOptions(device=device))
        judge(images, _verdicts(work, method, seed, steps), judge="learned", device=device)
    write_json(run / SECONDS, {"seconds": done["seconds"], "stopped": done["stopped"]})
    return f"{method}, training seed {seed}: {done['seconds']:.0f} s"


def _images(work: Path, method: str, seed: int, steps: int) -> Path:
    return work / "pictures" / f"{method}-{seed}-{steps}"


def _verdicts(work: Path, method: str, seed: int, steps: int) -> Path:
    return work / "verdicts" / f"{method}-{seed}-{steps}"


def _results(work: Path, how: ReproduceSettings) -> dict[str, Any]:
    calibration, base = calibration_of(work / "base-verdicts"), open_judged(work / "base-verdicts")
    rates = measured_rates(calibration, base.domain)
    clean = reference_images(work / "pairs", base.image(base.verdicts.rows[0]).shape[0])
    table: dict[str, Any] = {"base": _row(_summary([base], base, rates, clean), steps=0, seconds=0.0)}
    sweep: dict[str, list[dict[str, Any]]] = {}
    for method in how.methods:
        sweep[method] = _points(work, how, method, base, rates, clean)
        table[method] = sweep[method][_measured_steps(how, method).index(how.steps)]
    compared = equal_drift({method: _path(sweep, how, method) for method in how.methods})
    table["best"] = best_at(compared, [name for name in sweep if name.partition("+")[0] in LOCALIZED])
    settings = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(how).items()}
    return {"mini": table, "sweep": sweep, "equal_drift": compared, "judge": calibration, "settings": settings}


def _points(
    work: Path, how: ReproduceSettings, method: str, base: JudgedRun, rates: Any, clean: Any  # noqa: ANN401
) -> list[dict[str, Any]]:  # fmt: skip
    """One method's rows, in order of steps."""
    points, measured = [], _measured_steps(how, method)
    for steps in measured:
        runs = [open_judged(_verdicts(work, method, seed, steps)) for seed in how.seeds]
        summary = _summary(runs, base, rates, clean)
        seconds = _seconds(work, how, method) * steps / measured[-1]
        points.append(_row(summary, steps=steps + len(_earlier_rows(method)) * how.steps, seconds=seconds))
    return points


def _path(sweep: Mapping[str, list[dict[str, Any]]], how: ReproduceSettings, method: str) -> list[dict[str, Any]]:
    """The rows along a model's training, those that it continues first, as far as they are in the table."""
    path: list[dict[str, Any]] = []
    for name in _earlier_rows(method):
        if name in sweep:
            path += sweep[name][: _measured_steps(how, name).index(how.steps) + 1]
    return path + sweep[method]


def _summary(runs: Sequence[JudgedRun], base: JudgedRun, rates: Any, clean: Any) -> dict[str, Any]:  # noqa: ANN401
    """Runs of all training seeds together, against the base."""
    rows = [row for run in runs for row in run.rows()]
    return summarize(rows, base.rows(), rates, pixel_drift(runs, base, clean))


def _seconds(work: Path, how: ReproduceSettings, method: str) -> float:
    found = [read_json(work / "runs" / f"{method}-{seed}" / SECONDS) for seed in how.seeds]
    return sorted(float(one["seconds"]) for one in found if isinstance(one, dict))[len(found) // 2]


def _row(summary: Mapping[str, Any], *, steps: int, seconds: float) -> dict[str, Any]:
    """One row of results.json."""
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
    """The comparison page of the whole reproduction, with the curve of AER against drift."""
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
    compare(
        {"base": work / "base-verdicts", **{name: _verdicts(work, name, seed, how.steps) for name in how.methods}},
        out,
        seeds=[seed],
        pairs=work / "pairs",
        sweep=points,
        title="asap reproduce mini",
    )
