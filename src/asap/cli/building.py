"""The options of every command that builds a pair store: where it goes and what builds it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from asap.cli.output import print_lines
from asap.core.settings import Positive

if TYPE_CHECKING:
    from asap.workflows.pairs.producer import PairProducer

__all__ = ["Building", "build"]


@dataclass(frozen=True, kw_only=True)
class Building:
    """Output folder and parallel execution."""

    out: Path
    """Folder of the pair store; a stopped build continues there."""
    workers: Positive | None = None
    """Number of worker processes; one per core by default. It does not change the content of the store."""
    engine: Literal["pool", "ray", "serial"] = "pool"
    """How the build runs: worker processes on this machine (pool), Ray Data on a cluster (ray), or one process
    (serial)."""


def build(producer: "PairProducer", how: Building) -> None:
    """Build the store, and print its counts."""
    from asap.workflows.datasets.stats import pair_stats
    from asap.workflows.pairs.builder import build_store

    build_store(how.out, producer, engine=how.engine, workers=how.workers or os.cpu_count() or 1)
    print_lines(pair_stats(how.out))
