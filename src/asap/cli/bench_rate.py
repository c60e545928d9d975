"""``asap bench rate``."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from asap.cli.output import print_json
from asap.core.errors import InputError
from asap.core.settings import Natural, Positive


@dataclass(frozen=True, kw_only=True)
class Command:
    """Rate images of several runs blind: write numbered contact sheets, or read back the votes on them.

    To rate in the browser instead, see `asap judge rate`.
    """

    runs: Positional[tuple[Path, ...]] = ()
    """Folders of runs; the same prompts are drawn from each."""
    key: Path
    """File that maps each number to its image; raters must not see it."""
    sheets: Path | None = None
    """New folder for numbered contact sheets."""
    count: Positive = 120
    """Number of (prompt, seed) combinations to draw."""
    compare: bool = False
    """Show images of two runs side by side; raters say which is better."""
    controls: Path | None = None
    """Pair store whose images are mixed in as controls of known truth, a quarter of all items."""
    seed: Natural = 0
    """Seed of the draw of prompts, controls and order."""
    votes: Path | None = None
    """File with one line of JSON per number, as one rater gave them."""
    rater: str | None = None
    """Name under which the votes are stored."""
    ratings: Path | None = None
    """Folder of the answers of all raters."""
    disputed: bool = False
    """Write sheets only of images on which raters disagree, for a third rater."""

    def run(self) -> None:
        """Write sheets, read votes, or print what the raters say."""
        from asap.workflows.evaluation.rating_sheets import Ballot, read_votes, summarize, write_disputed, write_sheets

        if self.sheets is not None and self.votes is not None:
            raise InputError("--sheets writes sheets and --votes reads votes; give one of them")
        if self.sheets is not None and self.disputed:
            count = write_disputed(self.key, self._ratings(), self.runs, self.sheets)
            print(f"{count} images on which raters differ in {self.sheets}")
        elif self.sheets is not None:
            ballot = Ballot(count=self.count, seed=self.seed, compare=self.compare)
            count = write_sheets(self.runs, self.sheets, self.key, ballot=ballot, controls=self.controls)
            print(f"{count} items in {self.sheets}; the key is {self.key}")
        elif self.votes is not None:
            if not self.rater:
                raise InputError("--votes needs the name of the rater: give --rater NAME")
            print(f"{read_votes(self.key, self.votes, self._ratings(), rater=self.rater)} votes read")
        else:
            print_json(summarize(self.key, self._ratings()))

    def _ratings(self) -> Path:
        if self.ratings is None:
            raise InputError("name the folder of all raters' answers with --ratings DIR")
        return self.ratings
