"""Shows without a GPU that nothing is left on the CPU: the device ``meta`` stands for the GPU, it has shapes only."""

from collections.abc import Callable, Mapping, Sequence

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["OneDevice", "bring_zeros"]

COPIES = (torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default)


class OneDevice(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside, an operation on tensors of two devices fails, whichever operation it is; torch itself refuses some only.

    Copies are what moves data, and a tensor without axes is a number, which a GPU takes from anywhere.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        leaves = tree_leaves((args, kwargs or {}))
        devices = {leaf.device.type for leaf in leaves if isinstance(leaf, Tensor) and leaf.ndim}
        if len(devices) > 1 and func not in COPIES:
            raise AssertionError(f"{func} is given tensors on {' and '.join(sorted(devices))}")
        return func(*args, **(kwargs or {}))


def bring_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is brought from ``meta`` to the CPU be zeros, and every condition on it true."""

    def cpu(self: Tensor) -> Tensor:
        return torch.zeros(self.shape, dtype=self.dtype)

    monkeypatch.setattr(Tensor, "cpu", cpu)
    monkeypatch.setattr(Tensor, "item", lambda _: 1.0)
    monkeypatch.setattr(Tensor, "__bool__", lambda _: True)
    monkeypatch.setattr(Tensor, "__float__", lambda _: 1.0)
