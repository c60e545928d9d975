"""``asap pairs reviewed``."""

import argparse
from pathlib import Path

from asap.cli.output import print_lines

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("pairs", type=Path, metavar="DIR", help="folder of the pair store that was reviewed")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the store of accepted pairs")
    parser.add_argument(
        "--policy",
        choices=("any", "all", "majority"),
        default="majority",
        help="how many of those who decided must accept (majority)",
    )
    parser.set_defaults(run=_reviewed)


def _reviewed(arguments: argparse.Namespace) -> None:
    from asap.workflows.datasets.reviewed import reviewed_pairs

    print_lines(reviewed_pairs(arguments.pairs, arguments.out, policy=arguments.policy))
