"""The processes of one run: which of them writes, how they wait for each other and share work.

A run under ``accelerate launch`` or ``torchrun`` is the same program in several processes. One of them, the main one,
holds the lock and writes; the others read what it has written.
"""

import importlib.util
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar

import torch

from asap.core.errors import AsapError, InputError

__all__ = ["PATIENCE", "Team"]

Item = TypeVar("Item")
Result = TypeVar("Result")
PATIENCE: Final = timedelta(hours=12)
"""How long a process waits for the others: the main one may encode a whole store meanwhile. When a process dies the
launcher stops the others, so nobody waits for it."""


class Team:
    """All processes of the run as one of them sees it; alone where nothing launched several."""

    def __init__(self, device: str | None = None) -> None:
        """Join the others.

        Args:
            device: "cpu" keeps the run there; None lets accelerate choose.

        Raises:
            InputError: the launcher asks for a way of sharing weights that the trainer does not know.
        """
        from accelerate import PartialState

        self.spreads, self.divides = _spreads(), _asked("ACCELERATE_USE_DEEPSPEED")
        several = int(os.environ.get("WORLD_SIZE", "1")) > 1
        self._state: Any = PartialState(cpu=device == "cpu", **({"timeout": PATIENCE} if several else {}))

    spreads: bool
    """Whether the denoiser's weights will be spread over the processes (FSDP2)."""
    divides: bool
    """Whether each process will keep a part of gradients and moments (DeepSpeed)."""

    @property
    def main(self) -> bool:
        """Whether this process is the one that writes."""
        return bool(self._state.is_main_process)

    @property
    def count(self) -> int:
        """Number of processes."""
        return int(self._state.num_processes)

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        found: torch.device = self._state.device
        return found

    def wait(self) -> None:
        """Go on when all have come here."""
        self._state.wait_for_everyone()

    def agree(self, value: Item) -> Item:
        """The main process's value, for all."""
        if self.count == 1:
            return value
        from accelerate.utils import broadcast_object_list

        (found,) = broadcast_object_list([value])
        return found  # type: ignore[no-any-return]

    def lead(self, action: Callable[[], Result]) -> Result | None:
        """Run ``action`` in the main process while the others wait; None in the others.

        If it fails there, the others leave with the same exit code and say nothing, for the main one says why.

        Raises:
            AsapError: whatever ``action`` raises, in the main process.
            SystemExit: in the others, when it failed.
        """
        result, failure = None, None
        if self.main:
            try:
                result = action()
            except AsapError as error:
                failure = error
        code = self.agree(None if failure is None else failure.exit_code)
        if failure is not None:
            raise failure
        if code is not None:
            raise SystemExit(code)
        return result

    def share(self, items: Sequence[Item], work: Callable[[Item], Result]) -> list[Result]:
        """``work`` on each item, split over the processes; every process gets all results in the order of the items.

        Each process does equally many (the last items are repeated), because a sharded model computes only when all
        processes call it.
        """
        if self.count == 1:
            return [work(item) for item in items]
        from accelerate.utils import gather_object

        rounds = -(-len(items) // self.count)
        index = int(self._state.process_index)
        own = [(place, items[min(place, len(items) - 1)]) for place in range(index, rounds * self.count, self.count)]
        found = gather_object([(place, work(item)) for place, item in own])
        results: dict[int, Result] = dict(found)
        return [results[place] for place in range(len(items))]


def _asked(name: str, default: str = "false") -> bool:
    """A switch that `accelerate launch` sets in the environment."""
    return os.environ.get(name, default).lower() in ("true", "1")


def _spreads() -> bool:
    """Whether the launcher asks for FSDP2; raises ``InputError`` for what the trainer does not know."""
    if _asked("ACCELERATE_USE_MEGATRON_LM"):
        raise InputError(
            "asap train knows no MEGATRON_LM; launch it with configs/accelerate/ddp.yaml, or with fsdp2.yaml to spread "
            "weights over processes"
        )
    if _asked("ACCELERATE_USE_DEEPSPEED") and importlib.util.find_spec("deepspeed") is None:
        raise InputError(
            "the launcher asks for DeepSpeed, which is not installed; run pip install deepspeed, or launch with "
            "configs/accelerate/ddp.yaml, or with fsdp2.yaml to spread weights over processes"
        )
    if not _asked("ACCELERATE_USE_FSDP"):
        return False
    if os.environ.get("FSDP_VERSION", "1") != "2":
        raise InputError(
            "asap train spreads weights by FSDP2, the launcher asks for FSDP1; set fsdp_version: 2 as in "
            "configs/accelerate/fsdp2.yaml"
        )
    if _asked("FSDP_CPU_RAM_EFFICIENT_LOADING", "true"):
        raise InputError(
            "fsdp_cpu_ram_efficient_loading leaves the text encoders of all processes but one without weights; set it "
            "to false as in configs/accelerate/fsdp2.yaml"
        )
    return True
