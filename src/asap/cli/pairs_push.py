"""``asap pairs push``."""

import argparse
from pathlib import Path

from asap.cli.output import print_json

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("pairs", type=Path, metavar="DIR", help="folder of the pair store")
    parser.add_argument(
        "--repo", required=True, metavar="OWNER/NAME", help="data set on the Hub, made if it is missing"
    )
    parser.add_argument("--sources", type=Path, metavar="FILE", help="licences and consent, YAML or JSON")
    parser.add_argument("--private", action="store_true", help="make the data set private")
    parser.add_argument("--revision", metavar="BRANCH", help="branch to push to (main)")
    parser.add_argument("--allow-unstated", action="store_true", help="also where licence or consent is not stated")
    parser.add_argument("--dry-run", action="store_true", help="check, list the files, send nothing")
    parser.set_defaults(run=_push)


def _push(arguments: argparse.Namespace) -> None:
    from asap.workflows.datasets.publish import push_pairs

    told = push_pairs(
        arguments.pairs,
        arguments.repo,
        statements=arguments.sources,
        private=arguments.private,
        revision=arguments.revision,
        allow_unstated=arguments.allow_unstated,
        dry_run=arguments.dry_run,
    )
    print_json(told)
