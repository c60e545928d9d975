"""``asap pairs review``."""

import argparse
from pathlib import Path

from asap.cli.values import natural

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("pairs", type=Path, metavar="DIR", help="folder of the pair store; decisions go to DIR.reviews")
    parser.add_argument("--reviewer", metavar="NAME", help="whose decisions these are (the login name)")
    parser.add_argument("--port", type=natural, default=0, metavar="N", help="port on this machine (any free one)")
    parser.add_argument(
        "--blind", action="store_true", help="hide metadata and what others decided; either image is on the left"
    )
    parser.add_argument(
        "--browser", action=argparse.BooleanOptionalAction, default=True, help="open the page in a browser"
    )
    parser.set_defaults(run=_review)


def _review(arguments: argparse.Namespace) -> None:
    from asap.cli.output import tell
    from asap.workflows.datasets.review import review

    def announce(address: str) -> None:
        print(address, flush=True)
        tell("open this address in a browser on this machine; Ctrl-C ends the review, every decision shown is kept")

    review(
        arguments.pairs,
        reviewer=_login() if arguments.reviewer is None else arguments.reviewer,
        port=arguments.port,
        blind=arguments.blind,
        browser=arguments.browser,
        announce=announce,
    )


def _login() -> str:
    """The login name, lower-case; ``reviewer`` where the system has none."""
    import getpass

    try:
        return getpass.getuser().lower()
    except (ImportError, KeyError, OSError):
        return "reviewer"
