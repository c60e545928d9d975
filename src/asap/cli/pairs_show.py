"""``asap pairs show``."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from asap.core.settings import Natural, Positive


@dataclass(frozen=True, kw_only=True)
class Command:
    """Draw pairs of a store on one sheet: chosen image, rejected image, mask."""

    pairs: Positional[Path]
    """Folder of the pair store."""
    out: Path
    """Image file to write, .png."""
    count: Positive = 24
    """Number of pairs on the sheet."""
    seed: Natural = 0
    """Selects the pairs."""

    def run(self) -> None:
        """Write the sheet and print its path."""
        from asap.workflows.datasets.contact_sheet import show_pairs

        show_pairs(self.pairs, self.out, count=self.count, seed=self.seed)
        print(self.out)
