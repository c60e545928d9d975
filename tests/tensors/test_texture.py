import math

import numpy as np
import numpy.typing as npt
import pytest

from asap.core.seeds import generator
from asap.tensors.texture import grid_energy, high_frequency


def grey(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """One image of three equal channels."""
    return np.repeat(values.round().astype(np.uint8)[None, ..., None], 3, axis=3)


def test_waves_are_fine_detail_or_not_by_their_frequency() -> None:
    x = np.arange(64)
    for cycles, expected in ((1 / 16, 0.0), (3 / 8, 1.0)):
        wave = 128 + 100 * np.cos(2 * np.pi * cycles * x)
        assert high_frequency(grey(np.tile(wave, (64, 1)))) == pytest.approx(expected, abs=0.01)


def test_white_noise_has_the_area_outside_the_circle() -> None:
    noise = generator(0, "noise").integers(0, 256, (4, 128, 128, 1)).astype(np.uint8)
    assert high_frequency(np.repeat(noise, 3, axis=3)) == pytest.approx(1 - math.pi / 16, abs=0.02)


def test_one_colour_has_neither() -> None:
    flat = np.full((2, 32, 32, 3), 7, np.uint8)
    assert high_frequency(flat) == 0.0
    assert grid_energy(flat, 8) == 1.0


def test_a_grid_of_cells_is_measured_by_its_step() -> None:
    """A ramp of 1 a pixel, with a jump of 5 at every border of 8: steps of 6 against 1, in one direction of two."""
    x = np.arange(32)
    ramp = np.tile((x + 5 * (x // 8)).astype(np.float64), (32, 1))
    assert grid_energy(grey(ramp), 8) == pytest.approx(6.0)
    assert grid_energy(grey(np.tile(x.astype(np.float64), (32, 1))), 8) == pytest.approx(1.0)
    assert grid_energy(grey(ramp + ramp.T), 8) == pytest.approx(6.0)
