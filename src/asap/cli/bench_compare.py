"""``asap bench compare``."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from asap.cli.output import tell


@dataclass(frozen=True, kw_only=True)
class Command:
    """Compare judged runs on one page, and write the values as JSON, Markdown and CSV too."""

    runs: Positional[tuple[Path, ...]]
    """Folders of runs; the first is the base model."""
    out: Path
    """Folder of the comparison."""
    judge: str | None = None
    """Judge whose verdicts are compared; needed if a run has verdicts of several judges."""
    ratings: tuple[Path, ...] = ()
    """Folders of raters' answers, from `asap bench rate` or `asap judge rate`."""
    leaderboard: Path | None = None
    """File into which the rows are merged."""
    pairs: Path | None = None
    """Pair store to show training pairs from."""
    title: str = "HAF-Bench"
    """Heading of the page."""

    def run(self) -> None:
        """Compare; print the table and the path of the page."""
        from asap.workflows.evaluation.compare import compare

        found = compare(
            self.runs,
            self.out,
            judge=self.judge,
            ratings=self.ratings,
            leaderboard=self.leaderboard,
            pairs=self.pairs,
            title=self.title,
            report=tell,
        )
        print((self.out / "compare.md").read_text(encoding="utf-8"), end="")
        print(found["page"])
