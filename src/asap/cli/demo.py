"""``asap demo``."""

import argparse
from pathlib import Path

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the demo")
    parser.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> None:
    from asap.stages.demo import demo

    demo(arguments.out)
