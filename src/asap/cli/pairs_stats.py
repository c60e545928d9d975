"""``asap pairs stats``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from asap.cli.output import print_json, print_lines


@dataclass(frozen=True, kw_only=True)
class Command:
    """Count the pairs of a store by split, part, operation and severity, and print the mean value of every gate."""

    pairs: Positional[Path]
    """Folder of the pair store."""
    split: Literal["train", "val", "test"] | None = None
    """Count this split only."""
    json: bool = False
    """Print JSON."""

    def run(self) -> None:
        """Print the counts."""
        from asap.workflows.datasets.stats import pair_stats

        found = pair_stats(self.pairs, split=self.split)
        (print_json if self.json else print_lines)(found)
