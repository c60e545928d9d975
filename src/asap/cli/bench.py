"""``asap bench run | compare | check``: HAF-Bench. No judge is the default: whoever measures says with what."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from asap.cli.generate import add_drawing, drawing
from asap.cli.output import print_json, print_lines, tell
from asap.cli.values import names, setting

if TYPE_CHECKING:
    from asap.workflows.evaluation.quality import Measures

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-verbs."""
    verbs = parser.add_subparsers(metavar="run|compare|check", required=True)
    run = verbs.add_parser("run", help="draw a suite with a model, or take in images, and judge them")
    add_drawing(run, 4)
    run.add_argument("--images", type=Path, metavar="DIR", help="judge images made elsewhere instead of drawing")
    run.add_argument(
        "--judge", metavar="NAME", help="as `asap judge run` knows it; without one the run is only drawn, not judged"
    )
    run.add_argument(
        "--set", type=setting, action="append", default=[], metavar="NAME=VALUE", help="a setting of the judge"
    )
    run.add_argument("--calibration", type=Path, metavar="FILE", help="what `asap judge calibrate` made of the judge")
    run.add_argument(
        "--quality",
        type=names,
        default=(),
        metavar="NAMES",
        help="measures of preserved quality, or all: hpsv3,clipscore",
    )
    run.add_argument("--weights", type=Path, metavar="DIR", help="their weights, DIR/NAME (the hub's cache)")
    run.add_argument("--reference", type=Path, metavar="DIR", help="folder of real images for FID and KID")
    run.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the run, named after the model")
    run.set_defaults(run=_run)
    compare = verbs.add_parser("compare", help="compare judged runs: one page, and JSON, Markdown, CSV")
    compare.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders of runs; the first is the base")
    compare.add_argument("--judge", metavar="NAME", help="whose verdicts, where a run has several")
    compare.add_argument("--leaderboard", type=Path, metavar="FILE", help="merge the rows into this file")
    compare.add_argument("--title", default="HAF-Bench", help="heading of the page (HAF-Bench)")
    compare.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the comparison")
    compare.set_defaults(run=_compare)
    check = verbs.add_parser("check", help="check the packaged prompts: counts, parts, duplicates, training captions")
    check.add_argument("--suite", default="haf", metavar="NAME", help="haf or haf-lite (haf)")
    check.add_argument("--json", action="store_true", help="print JSON")
    check.set_defaults(run=_check)


def _run(arguments: argparse.Namespace) -> None:
    from asap.workflows.evaluation.bench import run

    print_lines(
        run(
            arguments.out,
            model=arguments.model,
            lora=arguments.adapter,
            images=arguments.images,
            judge=arguments.judge,
            settings=dict(arguments.set),
            calibration=arguments.calibration,
            quality=_measures(arguments),
            **drawing(arguments),
        )
    )


def _measures(arguments: argparse.Namespace) -> "Measures | None":
    """What is meant by ``--quality`` and its companions."""
    if not (arguments.quality or arguments.weights or arguments.reference):
        return None
    from asap.benchmark.quality import MEASURES
    from asap.workflows.evaluation.quality import Measures

    return Measures(
        names=MEASURES if arguments.quality == ("all",) else arguments.quality,
        weights=arguments.weights,
        reference=arguments.reference,
        device=arguments.device,
        batch=arguments.batch,
    )


def _compare(arguments: argparse.Namespace) -> None:
    from asap.workflows.evaluation.compare import compare

    found = compare(
        arguments.runs,
        arguments.out,
        judge=arguments.judge,
        leaderboard=arguments.leaderboard,
        title=arguments.title,
        report=tell,
    )
    print((arguments.out / "compare.md").read_text(encoding="utf-8"), end="")
    print(found["page"])


def _check(arguments: argparse.Namespace) -> None:
    from asap.workflows.evaluation.suite import check

    (print_json if arguments.json else print_lines)(check(arguments.suite))
