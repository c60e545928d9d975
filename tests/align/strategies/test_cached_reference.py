"""A cached reference gives the same training with fewer forwards."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from asap.align.errors import RowName
from tests.align.fakes import MemoryPairs, alignment
from tests.align.runs import EQUAL, difference, taken


class Memory:
    """A bank in memory that counts the rows it did not know."""

    def __init__(self) -> None:
        self.kept: dict[RowName, Tensor] = {}
        self.misses = 0

    def get(self, names: Sequence[RowName]) -> Tensor:
        unknown = torch.full((3,), torch.nan, dtype=torch.float64)
        self.misses += sum(name not in self.kept for name in names)
        return torch.stack([self.kept.get(name, unknown) for name in names])

    def put(self, names: Sequence[RowName], values: Tensor) -> None:
        self.kept.update(zip(names, values, strict=True))


@pytest.mark.parametrize("mode", ["one_pass", pytest.param("two_pass", marks=pytest.mark.slow)])
def test_fixed_noise_changes_no_weight(mode: str) -> None:
    """Four pairs with two fixed samples: twenty steps of two pairs need 80 rows, and the reference computes 16."""
    settings: dict[str, Any] = {"pairs": MemoryPairs(4), "fixed_noise_samples": 2, "gradient": mode}
    settings["loss"] = {"target_margin": 0.5}
    bank = Memory()
    fresh, cached = taken(**settings), taken(**settings, bank=bank)
    assert bank.misses == 16
    assert difference(fresh, cached) <= EQUAL


def test_a_bank_that_knows_half_a_batch_is_asked_for_the_rest() -> None:
    """Rows that are known are not computed again; the run is the same to rounding."""
    bank = Memory()
    taken(steps=4, fixed_noise_samples=1, bank=bank, pairs=MemoryPairs(4))
    for name in list(bank.kept)[::2]:
        del bank.kept[name]
    run = alignment(lora=True, fixed_noise_samples=1, bank=bank, pairs=MemoryPairs(4), batch_size=4)
    rows: list[int] = []
    run.task.policy.denoiser.register_forward_hook(lambda _module, given, _output: rows.append(len(given[0])))
    assert run.step()["delta"] == pytest.approx(0, abs=1e-6)
    assert rows == [4, 8]  # of the reference, then of the policy
