"""``asap pairs recipe``."""

import argparse
from pathlib import Path

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("pairs", type=Path, metavar="DIR", help="folder of the pair store")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="recipe to write, JSON")
    parser.set_defaults(run=_recipe)


def _recipe(arguments: argparse.Namespace) -> None:
    from asap.workflows.datasets.recipe import write_recipe

    print(write_recipe(arguments.pairs, arguments.out))
