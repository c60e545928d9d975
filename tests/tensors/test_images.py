import numpy as np
import pytest
import torch

from asap.core.errors import InputError
from asap.tensors import to_bytes, to_signed


def test_every_byte_survives_the_round_trip() -> None:
    images = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    signed = to_signed(images)
    assert signed.shape == (1, 3, 16, 16)
    assert signed.min() == -1
    assert signed.max() == 1
    assert np.array_equal(to_bytes(signed), images)


def test_values_outside_are_clipped_and_halves_are_rounded() -> None:
    values = torch.tensor([-9.0, 9.0, 0.4 / 127.5 - 1]).reshape(3, 1, 1, 1).expand(3, 3, 1, 1)
    assert to_bytes(values)[:, 0, 0, 0].tolist() == [0, 255, 0]


@pytest.mark.parametrize("shape", [(4, 4, 3), (1, 3, 4, 4)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="uint8"):
        to_signed(np.zeros(shape, dtype=np.uint8))


def test_other_types_are_refused() -> None:
    with pytest.raises(InputError, match="float"):
        to_signed(torch.zeros(1, 4, 4, 3))
    with pytest.raises(InputError, match="B, 3, H, W"):
        to_bytes(torch.zeros(1, 4, 4, 3))
