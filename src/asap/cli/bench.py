"""``asap bench run | check``: HAF-Bench. No judge is the default: whoever measures says with what."""

import argparse
from pathlib import Path

from asap.cli.generate import add_drawing, drawing
from asap.cli.output import print_json, print_lines

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-verbs."""
    verbs = parser.add_subparsers(metavar="run|check", required=True)
    run = verbs.add_parser("run", help="draw a suite with a model, or take in pictures, and judge them")
    add_drawing(run, 4)
    run.add_argument("--images", type=Path, metavar="DIR", help="judge pictures made elsewhere instead of drawing")
    run.add_argument("--judge", metavar="NAME", help="learned, or a judge's folder; without it the run is only drawn")
    run.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the run, named after the model")
    run.set_defaults(run=_run)
    check = verbs.add_parser("check", help="check the packaged prompts: counts, parts, duplicates, training captions")
    check.add_argument("--suite", default="haf", metavar="NAME", help="haf or haf-lite (haf)")
    check.add_argument("--json", action="store_true", help="print JSON")
    check.set_defaults(run=_check)


def _run(arguments: argparse.Namespace) -> None:
    from asap.stages.bench import run

    print_lines(
        run(
            arguments.out,
            model=arguments.model,
            lora=arguments.adapter,
            images=arguments.images,
            judge=arguments.judge,
            **drawing(arguments),
        )
    )


def _check(arguments: argparse.Namespace) -> None:
    from asap.stages.suite import check

    (print_json if arguments.json else print_lines)(check(arguments.suite))
