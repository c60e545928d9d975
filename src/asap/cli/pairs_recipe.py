"""``asap pairs recipe``."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional


@dataclass(frozen=True, kw_only=True)
class Command:
    """Write a small recipe file from which `asap pairs rebuild` builds the same pair store."""

    pairs: Positional[Path]
    """Folder of the pair store."""
    out: Path
    """Recipe to write, JSON."""

    def run(self) -> None:
        """Write the recipe and print its path."""
        from asap.workflows.datasets.recipe import write_recipe

        print(write_recipe(self.pairs, self.out))
