"""``asap pairs import``."""

import argparse
from pathlib import Path

from asap.cli.output import print_json, print_lines

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder of the other tool's files, or one shard")
    parser.add_argument(
        "--format", required=True, metavar="NAME", help="pickapic, parquet, webdataset, onetrainer, kohya"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the pair store")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_import)


def _import(arguments: argparse.Namespace) -> None:
    from asap.workflows.datasets.importing import import_pairs

    told = import_pairs(arguments.source, arguments.out, name=arguments.format)
    (print_json if arguments.json else print_lines)(told)
