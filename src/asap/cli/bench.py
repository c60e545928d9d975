"""``asap bench check``: HAF-Bench."""

import argparse

from asap.cli.output import print_json, print_lines

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-verbs."""
    verbs = parser.add_subparsers(metavar="check", required=True)
    check = verbs.add_parser("check", help="check the packaged prompts: counts, parts, duplicates, training captions")
    check.add_argument("--suite", default="haf", metavar="NAME", help="haf or haf-lite (haf)")
    check.add_argument("--json", action="store_true", help="print JSON")
    check.set_defaults(run=_check)


def _check(arguments: argparse.Namespace) -> None:
    from asap.stages.suite import check

    (print_json if arguments.json else print_lines)(check(arguments.suite))
