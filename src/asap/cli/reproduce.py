"""``asap reproduce mini``."""

import argparse
from pathlib import Path

from asap.cli.values import add_device, positive

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("what", choices=("mini",), help="which results: those of the embedded model")
    parser.add_argument("--out", type=Path, default=Path("docs"), metavar="DIR", help="folder of results.md (docs)")
    parser.add_argument(
        "--work", type=Path, default=Path("runs/reproduce"), metavar="DIR", help="folder of runs (runs/reproduce)"
    )
    parser.add_argument("--seeds", type=positive, metavar="N", help="training seeds of every method (3)")
    add_device(parser)
    parser.set_defaults(run=_reproduce)


def _reproduce(arguments: argparse.Namespace) -> None:
    from asap.workflows.results.reproduce import ReproduceSettings, mini

    settings = None if arguments.seeds is None else ReproduceSettings(seeds=tuple(range(arguments.seeds)))
    mini(arguments.out, work=arguments.work, settings=settings, device=arguments.device)
