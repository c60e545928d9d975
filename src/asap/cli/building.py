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
    """Where the store goes, and what builds it."""

    out: Path
    """Folder of the pair store; a stopped build continues there."""
    workers: Positive | None = None
    """Processes; one per core by default. The content of the store does not depend on it."""
    engine: Literal["pool", "ray", "serial"] = "pool"
    """Processes of this machine, Ray Data on a cluster, or this process alone."""


def build(producer: "PairProducer", how: Building) -> None:
    """Build the store, and print its counts."""
    from asap.workflows.datasets.stats import pair_stats
    from asap.workflows.pairs.builder import build_store

    build_store(how.out, producer, engine=how.engine, workers=how.workers or os.cpu_count() or 1)
    print_lines(pair_stats(how.out))
