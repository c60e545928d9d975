"""The whole loop, small: pairs, align, generate base and aligned, judge, report. Run again, it goes on where it was."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from asap.backbones.family import LoadOptions, device_named
from asap.workflows.evaluation.generate import generate
from asap.workflows.evaluation.report import report
from asap.workflows.evaluation.run_judge import run as judge
from asap.workflows.pairs.people import LEARNED
from asap.workflows.pairs.rendered import build_pairs
from asap.workflows.training.run import train

__all__ = ["DemoSettings", "demo"]


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """Sizes of the demo; the defaults take about a quarter of an hour on two cores."""

    pairs: int = 1200
    method: str = "localized_dpo"
    steps: int = 64
    lr: float = 3e-5
    batch_size: int = 8
    limit: int | None = None
    """Prompts of each category; None for all."""
    seeds: int = 1
    """Images a prompt."""
    workers: int = 2


def demo(out: Path, settings: DemoSettings | None = None, *, device: str = "auto") -> Path:
    """Run everything in ``out`` on ``device`` (a GPU if there is one) and return the path of the report's page.

    Raises:
        InputError: ``out`` cannot be written or holds a demo with other settings, or this machine lacks the device.
    """
    how, device = settings or DemoSettings(), device_named(device)
    console, began = Console(stderr=True), time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.0f} s[/dim]  {text}")

    say(f"1/5 building {how.pairs} pairs: one body part broken, the rest equal to the bit")
    build_pairs(out / "pairs", count=how.pairs, **LEARNED, workers=how.workers)
    say(f"2/5 aligning the mini model by {how.method}, {how.steps} steps")
    steps = {"steps": how.steps, "batch_size": how.batch_size, "lr": how.lr, "full": True, "device": device}
    train("mini", out / "pairs", out / "run", method=how.method, options=steps)
    say("3/5 drawing the suite before and after, same seeds")
    for name, adapter in (("base", None), ("aligned", out / "run")):
        loading = LoadOptions(device=device)
        generate(out / name, adapter=adapter, seeds=how.seeds, limit=how.limit, loading=loading, report=say)
    say("4/5 judging")
    for name in ("base", "aligned"):
        judge(out / name, out / f"{name}-verdicts", judge="learned", device=device)
    say("5/5 writing the report")
    page = report(
        out / "report",
        base=out / "base-verdicts",
        aligned={how.method: out / "aligned-verdicts"},
        pairs=out / "pairs",
        runs={how.method: out / "run"},
    )
    _print_table(Console(), out / "report" / "report.json")
    print(page.resolve())
    return page


def _print_table(console: Console, path: Path) -> None:
    models = json.loads(path.read_text(encoding="utf-8"))["models"]
    table = Table(title="anatomical error rate (AER), 95 % intervals clustered by prompt")
    for column in ("model", "AER", "corrected", "n", "change to base", "judge's sensitivity / specificity"):
        table.add_column(column)
    for name, row in models.items():
        judged = row["judge"]
        change = "" if name == "base" else _interval(row["paired"]["difference"])
        rates = f"{judged['sensitivity']['value']:.3f} / {judged['specificity']['value']:.3f}"
        table.add_row(name, _interval(row["aer"]), _interval(row["aer_corrected"]), str(row["n"]), change, rates)
    console.print(table)


def _interval(estimate: dict[str, float | list[float] | None]) -> str:
    if estimate.get("value") is None:
        return "unknown"
    low, high = estimate["ci"]  # type: ignore[misc]
    return f"{estimate['value']:.3f} [{low:.3f}, {high:.3f}]"
