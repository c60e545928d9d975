"""``asap pairs rebuild``."""

import argparse
import os
from pathlib import Path

from asap.cli.values import positive

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="what `asap pairs recipe` wrote")
    parser.add_argument("--source", type=Path, metavar="FOLDER", help="folder of the photographs, if it is of these")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the pair store")
    parser.add_argument("--workers", type=positive, metavar="N", help="processes (one a core)")
    parser.set_defaults(run=_rebuild)


def _rebuild(arguments: argparse.Namespace) -> None:
    from asap.workflows.pairs.rebuild import rebuild

    workers = arguments.workers or os.cpu_count() or 1
    print(rebuild(arguments.recipe, arguments.out, source=arguments.source, workers=workers))
