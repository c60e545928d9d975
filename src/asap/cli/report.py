"""``asap report``."""

import argparse
from pathlib import Path

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
        help="verdicts on each aligned model",
    )
    parser.add_argument("--pairs", type=Path, metavar="DIR", help="pair store to show pairs of")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the report")
    parser.set_defaults(run=_report)


def _report(arguments: argparse.Namespace) -> None:
    from asap.stages.report import report

    print(report(base=arguments.base, aligned=arguments.aligned, pairs=arguments.pairs, out=arguments.out))
