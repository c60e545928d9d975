"""Several processes on one job, as `accelerate launch` starts them: which one this is, and how they wait."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import torch

from asap.workflows.runtime.distributed import PATIENCE

__all__ = ["Ranks", "ranks"]


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among its fellows."""

    rank: int = 0
    world: int = 1
    wait: Callable[[], None] = lambda: None
    """Returns when every process has called it."""


def ranks() -> Ranks:
    """What the launcher said in the environment; one process alone without a launcher."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return Ranks()
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)
    return Ranks(rank=state.process_index, world=state.num_processes, wait=state.wait_for_everyone)
