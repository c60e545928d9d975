import numpy as np
import pytest
import torch

from asap.core.errors import InputError
from asap.tensors import to_latent_mask
from asap.tensors.masks import touched_cells


@pytest.mark.parametrize("position", [(0, 0), (0, 127), (63, 64), (127, 127), (5, 90)])
def test_one_pixel_fills_its_latent_cell_and_no_other(position: tuple[int, int]) -> None:
    mask = torch.zeros(1, 128, 128, dtype=torch.uint8)
    mask[0, position[0], position[1]] = 255
    latent = to_latent_mask(mask, (32, 32))
    assert latent.shape == (1, 1, 32, 32)
    assert latent.sum() == 1
    assert latent[0, 0, position[0] // 4, position[1] // 4] == 1


@pytest.mark.parametrize(("pixels", "cells"), [(100, 32), (96, 64), (70, 64), (33, 32)])
def test_one_pixel_never_vanishes_when_sizes_do_not_divide(pixels: int, cells: int) -> None:
    for row, column in np.random.default_rng(0).integers(0, pixels, (20, 2)):
        mask = torch.zeros(1, pixels, pixels, dtype=torch.uint8)
        mask[0, row, column] = 255
        latent = to_latent_mask(mask, (cells, cells))
        assert latent.max() > 0
        assert latent.max() <= 1


@pytest.mark.parametrize(("pixels", "cells"), [(128, 32), (100, 32), (96, 64), (70, 64), (33, 32)])
def test_the_cells_that_a_span_of_pixels_touches_are_named(pixels: int, cells: int) -> None:
    """Exactly those that the latent mask marks, for the first, the last and every other span of a few pixels."""
    for low in range(0, pixels, 3):
        for high in {low + 1, min(low + 7, pixels), pixels}:
            mask = torch.zeros(1, pixels, pixels)
            mask[:, low:high] = 1
            marked = to_latent_mask(mask, (cells, cells))[0, 0].amax(dim=1).nonzero()[:, 0].tolist()
            first, end = touched_cells(low, high, pixels, cells)
            assert marked == list(range(first, end))
    assert touched_cells(5, 5, pixels, cells) == (0, 0)


def test_bool_float_and_bytes_agree_and_a_full_mask_stays_full() -> None:
    mask = torch.rand(2, 16, 16, generator=torch.Generator().manual_seed(0)) > 0.8
    wanted = to_latent_mask(mask, (4, 4))
    assert torch.equal(to_latent_mask(mask.float(), (4, 4)), wanted)
    assert torch.equal(to_latent_mask(mask.to(torch.uint8) * 255, (4, 4)), wanted)
    assert to_latent_mask(torch.ones(1, 10, 10), (4, 4)).eq(1).all()


def test_wrong_masks_are_refused() -> None:
    with pytest.raises(InputError, match="B, H, W"):
        to_latent_mask(torch.zeros(8, 8), (4, 4))
    with pytest.raises(InputError, match="smaller"):
        to_latent_mask(torch.zeros(1, 2, 8), (4, 4))
    with pytest.raises(InputError, match="values"):
        to_latent_mask(torch.full((1, 8, 8), 255.0), (4, 4))
