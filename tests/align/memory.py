"""What autograd keeps during a step: the same on every machine, unlike the memory of the process."""

import torch
from torch import Tensor

from tests.align.fakes import Alignment


def peak(run: Alignment) -> tuple[int, int]:
    """Most bytes, and most elements, of saved tensors alive at once during a step; weights are not counted."""
    known = {value.untyped_storage().data_ptr() for value in run.task.policy.parameters()}
    alive: dict[int, tuple[int, int, int]] = {}
    most = [0, 0]

    class Kept:
        def __init__(self, value: Tensor) -> None:
            self.value, self.key = value, value.untyped_storage().data_ptr()
            if self.key not in known:
                size = value.untyped_storage().nbytes()
                size, elements, count = alive.get(self.key, (size, size // value.element_size(), 0))
                alive[self.key] = (size, elements, count + 1)
                for which in (0, 1):
                    most[which] = max(most[which], sum(entry[which] for entry in alive.values()))

        def __del__(self) -> None:
            if self.key in alive:
                size, elements, count = alive[self.key]
                if count == 1:
                    del alive[self.key]
                else:
                    alive[self.key] = (size, elements, count - 1)

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.value):
        run.step()
    return most[0], most[1]
