"""``asap pairs rebuild``."""

import os
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from asap.core.settings import Positive


@dataclass(frozen=True, kw_only=True)
class Command:
    """Build a pair store from a recipe; the result has the same content hash."""

    recipe: Positional[Path]
    """File that `asap pairs recipe` wrote."""
    out: Path
    """Folder of the pair store."""
    source: Path | None = None
    """Folder of the photographs, for a recipe of photographs."""
    workers: Positive | None = None
    """Number of worker processes; one per core by default."""

    def run(self) -> None:
        """Build and print the folder."""
        from asap.workflows.pairs.rebuild import rebuild

        workers = self.workers or os.cpu_count() or 1
        print(rebuild(self.recipe, self.out, source=self.source, workers=workers))
