"""``asap report``."""

import argparse
from pathlib import Path

from asap.core.errors import InputError

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--base", type=Path, required=True, metavar="DIR", help="verdicts on the base model")
    parser.add_argument(
        "--aligned",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="verdicts on each aligned model, named after its folder",
    )
    parser.add_argument("--pairs", type=Path, metavar="DIR", help="pair store to show pairs of")
    parser.add_argument(
        "--runs", type=Path, nargs="+", default=[], metavar="DIR", help="training runs, in the order of --aligned"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the report")
    parser.set_defaults(run=_report)


def _report(arguments: argparse.Namespace) -> None:
    if len(arguments.runs) not in (0, len(arguments.aligned)):
        raise InputError("--runs needs one folder for each of --aligned, or none")
    from asap.workflows.evaluation.report import model_names, report

    names = model_names(arguments.aligned)
    print(
        report(
            arguments.out,
            base=arguments.base,
            aligned=dict(zip(names, arguments.aligned, strict=True)),
            pairs=arguments.pairs,
            runs=dict(zip(names, arguments.runs, strict=False)),
        )
    )
