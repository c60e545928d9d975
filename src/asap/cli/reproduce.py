"""``asap reproduce mini``."""

import argparse
from pathlib import Path

from asap.cli.values import add_device

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("what", choices=("mini",), help="which results: those of the embedded model")
    parser.add_argument("--out", type=Path, default=Path("docs"), metavar="DIR", help="folder of results.md (docs)")
    parser.add_argument(
        "--work", type=Path, default=Path("runs/reproduce"), metavar="DIR", help="folder of runs (runs/reproduce)"
    )
    add_device(parser)
    parser.set_defaults(run=_reproduce)


def _reproduce(arguments: argparse.Namespace) -> None:
    from asap.stages.reproduce import mini

    mini(arguments.out, work=arguments.work, device=arguments.device)
