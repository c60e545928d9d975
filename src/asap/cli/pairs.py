"""``asap pairs``: stats and show here, every further sub-verb in a file of its own."""

import argparse
from importlib import import_module
from pathlib import Path
from typing import Final

from asap.cli.output import print_json, print_lines
from asap.cli.values import natural, positive

__all__ = ["configure"]

MORE: Final[dict[str, str]] = {
    "export": "write pairs as another tool reads them",
    "import": "make a pair store of another tool's pairs",
    "card": "write a data set card, Croissant metadata and a contact sheet",
    "push": "upload a pair store to the Hugging Face Hub",
    "recipe": "write the few kilobytes that rebuild a pair store",
    "rebuild": "build the pair store of a recipe, to the same content hash",
    "review": "accept or refuse pairs on a page in the browser",
    "agreement": "how far the reviewers of a pair store agree",
    "reviewed": "a store of the pairs that reviewers accepted",
    "build": "make pairs of rendered people or of photographs; goes on where it was stopped",
    "caption": "ask a vision-language model for captions of photographs",
    "audit": "can the sides be told apart without a look at the anatomy?",
}
"""Further sub-verbs and what each does; ``asap.cli.pairs_NAME`` has its ``configure``."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-verbs."""
    verbs = parser.add_subparsers(metavar="|".join(("stats", "show", *MORE)), required=True)
    stats = verbs.add_parser("stats", help="counts and gate means of a pair store")
    stats.add_argument("pairs", type=Path, metavar="DIR", help="folder of the pair store")
    stats.add_argument("--split", choices=("train", "val", "test"), help="count this split only")
    stats.add_argument("--json", action="store_true", help="print JSON")
    stats.set_defaults(run=_stats)
    show = verbs.add_parser("show", help="write a contact sheet: chosen, rejected, mask")
    show.add_argument("pairs", type=Path, metavar="DIR", help="folder of the pair store")
    show.add_argument("--out", type=Path, required=True, metavar="FILE", help="image to write, .png")
    show.add_argument("--count", type=positive, default=24, metavar="N", help="pairs on the sheet (24)")
    show.add_argument("--seed", type=natural, default=0, metavar="N", help="which pairs are drawn (0)")
    show.set_defaults(run=_show)
    for name, summary in MORE.items():
        import_module(f"asap.cli.pairs_{name}").configure(verbs.add_parser(name, help=summary, description=summary))


def _stats(arguments: argparse.Namespace) -> None:
    from asap.workflows.pairs.rendered import pair_stats

    found = pair_stats(arguments.pairs, split=arguments.split)
    (print_json if arguments.json else print_lines)(found)


def _show(arguments: argparse.Namespace) -> None:
    from asap.workflows.datasets.contact_sheet import show_pairs

    show_pairs(arguments.pairs, arguments.out, count=arguments.count, seed=arguments.seed)
    print(arguments.out)
