"""``asap pairs reviewed``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from asap.cli.output import print_lines


@dataclass(frozen=True, kw_only=True)
class Command:
    """Write a new store with the pairs that the reviewers accepted."""

    pairs: Positional[Path]
    """Folder of the reviewed pair store."""
    out: Path
    """Folder of the store of accepted pairs."""
    policy: Literal["any", "all", "majority"] = "majority"
    """How many of a pair's reviewers must accept it."""

    def run(self) -> None:
        """Write the store and print the counts."""
        from asap.workflows.datasets.reviewed import reviewed_pairs

        print_lines(reviewed_pairs(self.pairs, self.out, policy=self.policy))
