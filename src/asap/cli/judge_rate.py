"""``asap judge rate``."""

from dataclasses import dataclass
from pathlib import Path

from asap.core.settings import Natural


@dataclass(frozen=True, kw_only=True)
class Command:
    """Rate images on a page in the browser. The page does not show which model made an image."""

    generations: tuple[Path, ...]
    """Folders of generations; their images are shown in mixed order."""
    ratings: Path
    """Folder of the answers of all raters."""
    rater: str
    """Name under which the answers are stored."""
    port: Natural = 0
    """Port of the page; 0 selects a free port."""
    no_browser: bool = False
    """Print the address of the page without opening a browser."""

    def run(self) -> None:
        """Serve the page until Ctrl-C."""
        from asap.workflows.evaluation.rate import rate

        rate(
            self.generations,
            self.ratings,
            rater=self.rater,
            port=self.port,
            browser=not self.no_browser,
            announce=lambda address: print(address, flush=True),
        )
