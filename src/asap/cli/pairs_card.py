"""``asap pairs card``."""

import argparse
from pathlib import Path

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("pairs", type=Path, metavar="DIR", help="folder of the pair store")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="card to write, .md")
    parser.add_argument("--sources", type=Path, metavar="FILE", help="licences and consent, YAML or JSON")
    parser.set_defaults(run=_card)


def _card(arguments: argparse.Namespace) -> None:
    from asap.workflows.datasets.publish import write_card

    for path in write_card(arguments.pairs, arguments.out, statements=arguments.sources):
        print(path)
