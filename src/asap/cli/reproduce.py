"""``asap reproduce``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from asap.core.settings import Positive


@dataclass(frozen=True, kw_only=True)
class Command:
    """Reproduce the published results, with every figure and table."""

    results: Positional[Literal["mini"]]
    """Results to compute: those of the embedded model."""
    out: Path = Path("docs")
    """Folder into which results.md is written."""
    work: Path = Path("runs/reproduce")
    """Folder of the runs."""
    seeds: Positive | None = None
    """Training seeds per method; 3 by default."""
    device: str = "auto"
    """Device of torch: cpu, cuda, cuda:1; a GPU is used automatically."""

    def run(self) -> None:
        """Compute the results, which prints its own lines."""
        from asap.workflows.results.reproduce import ReproduceSettings, mini

        settings = None if self.seeds is None else ReproduceSettings(seeds=tuple(range(self.seeds)))
        mini(self.out, work=self.work, settings=settings, device=self.device)
