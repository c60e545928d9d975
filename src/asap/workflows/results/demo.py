"""The whole loop at small size: pairs, alignment, images before and after, judge, report. Run again, it resumes."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from asap.backbones.family import LoadOptions, device_named
from asap.workflows.evaluation.compare import compare
from asap.workflows.evaluation.generate import generate
from asap.workflows.evaluation.run_judge import run as judge
from asap.workflows.pairs.builder import build_store
from asap.workflows.pairs.people import LEARNED
from asap.workflows.pairs.rendered import Rendered
from asap.workflows.training.run import train

__all__ = ["DemoSettings", "demo", "results_table"]

RATINGS: Final = "ratings"
"""Folder of raters' answers in that of the demo; they are used when it is run again."""
WIDTH: Final = 80
"""Columns of a terminal that the table fits."""
SOURCES: Final = {"rated": "ratings alone", "judged": "judge alone", "combined": "both"}
"""Estimates of a rate, and what the table calls them."""


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """Sizes of the demo; the defaults take about a quarter of an hour on two cores."""

    pairs: int = 1200
    method: str = "localized_dpo"
    steps: int = 64
    lr: float = 3e-5
    batch_size: int = 8
    limit: int | None = None
    """Prompts per category; None: all."""
    seeds: int = 1
    """Images per prompt."""
    workers: int = 2


def demo(out: Path, settings: DemoSettings | None = None, *, device: str = "auto") -> Path:
    """Run everything in ``out`` on ``device`` (auto uses a GPU if there is one); returns the path of the report's page.

    Raises:
        InputError: ``out`` cannot be written or holds a demo with other settings, or this machine lacks the device.
    """
    how, device = settings or DemoSettings(), device_named(device)
    console, began = Console(stderr=True), time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.0f} s[/dim]  {text}", soft_wrap=True)

    say(f"1/5 build {how.pairs} pairs of rendered people, one with a defective body part")
    build_store(out / "pairs", Rendered(count=how.pairs, **LEARNED), workers=how.workers)
    say(f"2/5 align the embedded model: {how.steps} steps of {how.method}")
    train(
        "mini",
        out / "pairs",
        out / "run",
        method=how.method,
        steps=how.steps,
        batch_size=how.batch_size,
        lr=how.lr,
        full=True,
        device=device,
    )
    say("3/5 generate the prompt suite before and after alignment, with the same seeds")
    for name, adapter in (("base", None), ("aligned", out / "run")):
        loading = LoadOptions(device=device)
        generate(out / name, adapter=adapter, seeds=how.seeds, limit=how.limit, loading=loading, report=say)
    say("4/5 judge all images")
    for name in ("base", "aligned"):
        judge(out / name, out / f"{name}-verdicts", judge="learned", device=device, report=say)
    say("5/5 write the comparison")
    runs = {"base": out / "base-verdicts", how.method: out / "aligned-verdicts"}
    title = "Anatomy before and after alignment"
    ratings = [out / RATINGS] if (out / RATINGS).is_dir() else []
    found = compare(runs, out / "report", pairs=out / "pairs", ratings=ratings, title=title, report=say)
    page = Path(found["page"])
    Console(width=WIDTH).print(results_table(found["models"]))
    print(found["headline"])
    if not ratings:
        images = f"{out / 'base'} {out / 'aligned'}"
        print(
            f"Rate: asap judge rate --generations {images} --ratings {out / RATINGS} --rater NAME; then run this again."
        )
    print(page.resolve())
    return page


def results_table(models: Mapping[str, Mapping[str, Any]]) -> Table:
    """Error rates with their intervals, one column per model, of the report's ``models``; fits ``WIDTH``."""
    table = Table(title="anatomical error rate (AER), 95 % intervals clustered by prompt", box=SIMPLE_HEAD)
    table.add_column("")
    for name in models:
        table.add_column(name)
    found = {name: row["evidence"] for name, row in models.items()}
    rates = [one["aer"] for one in found.values()]
    table.add_row("images", *(str(row["n_judged"]) for row in rates))
    table.add_row("rated blind", *(str(row["n_rated"]) for row in rates))
    for source, label in SOURCES.items():
        table.add_row(f"AER, {label}", *(_interval(row[source]) for row in rates))
    for source, label in SOURCES.items():
        changes = ("" if name == "base" else _interval(one["difference"][source]) for name, one in found.items())
        table.add_row(f"change, {label}", *changes)
    return table


def _interval(estimate: Mapping[str, Any]) -> str:
    if estimate.get("value") is None:
        return "unknown"
    if estimate["ci"] is None:
        return f"{estimate['value']:.3f}"
    low, high = estimate["ci"]
    return f"{estimate['value']:.3f} [{low:.3f}, {high:.3f}]"
