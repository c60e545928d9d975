import numpy as np
import pytest

from asap.bodies.background import KINDS, paint
from asap.core.records import Background, FloatArray

DARK, BRIGHT = (0.1, 0.2, 0.3), (0.6, 0.7, 0.8)


def grid() -> FloatArray:
    x, y = np.meshgrid(np.linspace(0, 1, 40), np.linspace(0, 1, 40))
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)


def background(kind: str, seed: int = 1) -> Background:
    return Background(kind=kind, colours=(DARK, BRIGHT), seed=seed)


@pytest.mark.parametrize("kind", KINDS)
def test_colours_lie_between_the_two_given(kind: str) -> None:
    colours = paint(background(kind), grid())
    assert colours.shape == (1600, 3)
    assert colours.dtype == np.float32
    assert (colours > np.array(DARK) - 1e-6).all()
    assert (colours < np.array(BRIGHT) + 1e-6).all()
    assert (np.ptp(colours, axis=0) > 0.1).all() == (kind != "plain")


@pytest.mark.parametrize("kind", KINDS)
def test_any_place_can_be_asked_for_alone(kind: str) -> None:
    places = grid()
    assert np.allclose(paint(background(kind), places)[700:705], paint(background(kind), places[700:705]), atol=1e-6)


def test_seeds_move_the_pattern() -> None:
    assert not np.allclose(paint(background("stripes", 1), grid()), paint(background("stripes", 2), grid()))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="one of plain, gradient"):
        paint(background("tartan"), grid())
