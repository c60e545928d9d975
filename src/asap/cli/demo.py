"""``asap demo``."""

import argparse
from pathlib import Path

from asap.cli.values import add_device

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the demo")
    add_device(parser)
    parser.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> None:
    from asap.workflows.results.demo import demo

    demo(arguments.out, device=arguments.device)
