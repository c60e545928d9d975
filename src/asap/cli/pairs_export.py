"""``asap pairs export``."""

import argparse
from pathlib import Path

from asap.cli.output import print_lines

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("pairs", type=Path, metavar="DIR", help="folder of the pair store")
    parser.add_argument("--format", required=True, metavar="NAME", help="pickapic, parquet, webdataset, onetrainer...")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT", help="folder to make")
    parser.add_argument("--split", choices=("train", "val", "test"), help="export this split only")
    parser.add_argument("--nulls", action="store_true", help="also pairs whose rejected side is right")
    parser.set_defaults(run=_export)


def _export(arguments: argparse.Namespace) -> None:
    from asap.workflows.datasets.export import export_pairs

    told = export_pairs(
        arguments.pairs, arguments.out, name=arguments.format, split=arguments.split, nulls=arguments.nulls
    )
    print_lines(told)
