"""The instrument itself: it must notice the mixtures that torch lets pass."""

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from tests.one_device import OneDevice

FAR, NEAR = torch.randn(1, 3, 8, 8, device="meta"), torch.randn(1, 3, 8, 8)
WEIGHT = torch.randn(4, 3, 3, 3, device="meta")
MIXTURES: dict[str, Callable[[], object]] = {
    "convolution": lambda: F.conv2d(NEAR, WEIGHT),
    "embedding": lambda: F.embedding(torch.tensor([0]), WEIGHT[:, 0, 0]),
    "einsum": lambda: torch.einsum("bchw,bchw->bc", NEAR, FAR),
    "rows": lambda: FAR[torch.tensor([0])],
}


@pytest.mark.parametrize("name", MIXTURES)
def test_what_torch_lets_pass_is_noticed(name: str) -> None:
    MIXTURES[name]()
    with pytest.raises(AssertionError, match="is given tensors on cpu and meta"), OneDevice():
        MIXTURES[name]()


def test_one_device_copies_and_numbers_pass() -> None:
    with OneDevice():
        assert F.conv2d(NEAR.to("meta"), WEIGHT).device.type == "meta"
        assert (FAR * torch.tensor(2.0)).device.type == "meta"
        assert F.conv2d(NEAR, torch.zeros(4, 3, 3, 3)).device.type == "cpu"
