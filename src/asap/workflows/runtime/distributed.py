"""The processes of one run: which of them writes, how they wait for each other and share work.

A run under ``accelerate launch`` or ``torchrun`` is the same program in several processes. One of them, the main
process, holds the lock and writes; the others read what it has written.
"""

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar

import torch

from asap.core.errors import AsapError, InputError

__all__ = ["World", "fsdp_requested"]

Item = TypeVar("Item")
Result = TypeVar("Result")
TIMEOUT: Final = timedelta(hours=12)
"""How long a process waits for the others: the main one may encode a whole store meanwhile. When a process dies, the
launcher stops the others."""


class World:
    """All processes of the run as one of them sees it; a single process unless a launcher started several."""

    def __init__(self, device: str | None = None) -> None:
        """Join the other processes.

        Args:
            device: "cpu" keeps the run on the CPU; None uses a GPU if there is one.
        """
        self._state: Any = None
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from accelerate import PartialState

            cpu = device == "cpu" or not torch.accelerator.is_available()
            self._state = PartialState(cpu=cpu, timeout=TIMEOUT)
        self._device = device

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return 0 if self._state is None else int(self._state.process_index)

    @property
    def size(self) -> int:
        """Number of processes."""
        return 1 if self._state is None else int(self._state.num_processes)

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        from accelerate import PartialState

        found: torch.device = (self._state or PartialState(cpu=self._device == "cpu")).device
        return found

    def wait(self) -> None:
        """Return when every process has called it."""
        if self._state is not None:
            self._state.wait_for_everyone()

    def broadcast(self, value: Item) -> Item:
        """The main process's value, in every process."""
        if self.size == 1:
            return value
        from accelerate.utils import broadcast_object_list

        (found,) = broadcast_object_list([value])
        return found  # type: ignore[no-any-return]

    def on_main(self, action: Callable[[], Result]) -> Result | None:
        """Run ``action`` in the main process while the others wait; None in the others.

        If it fails there, the others exit with the same code and print nothing: the main process reports the error.

        Raises:
            AsapError: whatever ``action`` raises, in the main process.
            SystemExit: in the others, when it failed.
        """
        result, failure = None, None
        if self.is_main:
            try:
                result = action()
            except AsapError as error:
                failure = error
        code = self.broadcast(None if failure is None else failure.exit_code)
        if failure is not None:
            raise failure
        if code is not None:
            raise SystemExit(code)
        return result

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """``function`` of each item, split over the processes; every process gets all results, in order.

        Each process computes equally many (the last items are repeated), because a sharded model computes only when all
        processes call it.
        """
        if self.size == 1:
            return [function(item) for item in items]
        from accelerate.utils import gather_object

        turns = -(-len(items) // self.size)
        own = range(self.rank, turns * self.size, self.size)
        gathered = gather_object([(place, function(items[min(place, len(items) - 1)])) for place in own])
        results: dict[int, Result] = dict(gathered)
        return [results[place] for place in range(len(items))]


def _launcher_set(name: str, default: str = "false") -> bool:
    """A switch that `accelerate launch` sets in the environment."""
    return os.environ.get(name, default).lower() in ("true", "1")


def fsdp_requested() -> bool:
    """Whether the launcher asks for FSDP2; raises ``InputError`` for launchers that training does not support."""
    for name in ("MEGATRON_LM", "DEEPSPEED"):
        if _launcher_set(f"ACCELERATE_USE_{name}"):
            raise InputError(
                f"asap train does not support {name}; launch it with configs/accelerate/ddp.yaml, or with fsdp2.yaml "
                "to shard weights over processes"
            )
    if not _launcher_set("ACCELERATE_USE_FSDP"):
        return False
    if os.environ.get("FSDP_VERSION", "1") != "2":
        raise InputError(
            "asap train shards weights with FSDP2, but the launcher asks for FSDP1; set fsdp_version: 2 as in "
            "configs/accelerate/fsdp2.yaml"
        )
    if _launcher_set("FSDP_CPU_RAM_EFFICIENT_LOADING", "true"):
        raise InputError(
            "fsdp_cpu_ram_efficient_loading leaves the text encoders of all processes but one without weights; set it "
            "to false as in configs/accelerate/fsdp2.yaml"
        )
    return True
