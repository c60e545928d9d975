"""``asap pairs review``."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from asap.cli.output import tell
from asap.core.settings import Natural


@dataclass(frozen=True, kw_only=True)
class Command:
    """Accept or reject pairs on a page in the browser; the decisions are written to PAIRS.reviews."""

    pairs: Positional[Path]
    """Folder of the pair store."""
    reviewer: str | None = None
    """Name under which decisions are stored; the login name by default."""
    port: Natural = 0
    """Port of the page; 0 selects a free port."""
    blind: bool = False
    """Hide metadata and the decisions of others, and randomize which image is on the left."""
    no_browser: bool = False
    """Print the address of the page without opening a browser."""

    def run(self) -> None:
        """Serve the page until Ctrl-C."""
        from asap.workflows.datasets.review import review

        def announce(address: str) -> None:
            print(address, flush=True)
            tell("open this address in a browser on this machine; Ctrl-C ends the review, every decision shown is kept")

        review(
            self.pairs,
            reviewer=_login() if self.reviewer is None else self.reviewer,
            port=self.port,
            blind=self.blind,
            browser=not self.no_browser,
            announce=announce,
        )


def _login() -> str:
    """The login name, lower-case; ``reviewer`` where the system has none."""
    import getpass

    try:
        return getpass.getuser().lower()
    except (ImportError, KeyError, OSError):
        return "reviewer"
