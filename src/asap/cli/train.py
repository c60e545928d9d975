"""``asap train``."""

import os
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import FlagCreatePairsOff

from asap.cli.output import print_lines, tell
from asap.workflows.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Command(TrainConfig):
    """Align a model on a pair store; a run that was stopped continues.

    The groups of options are the sections of the YAML file; configs/ has one file for every model family.
    """

    config: Path | None = None
    """YAML file of settings; flags override it."""
    dry_run: FlagCreatePairsOff[bool] = False
    """Print parameters, memory, steps and cost, and train nothing."""

    def run(self) -> None:
        """Train, or continue, and print the result."""
        from asap.workflows.training.dry_run import dry_run
        from asap.workflows.training.run import run

        found = dry_run(self) if self.dry_run else run(self, tell)
        if os.environ.get("RANK", "0") == "0":  # of several processes one prints
            print_lines({name: value for name, value in found.items() if name != "best_step" or value is not None})
