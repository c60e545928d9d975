import pytest

from asap.core.errors import InputError
from asap.core.seeds import generator
from asap.tensors.crops import square_around


@pytest.mark.parametrize(
    ("size", "box", "expected"),
    [
        ((32, 32), (3, 4, 9, 9), (0, 0, 32)),
        ((32, 64), (28, 0, 36, 32), (0, 16, 32)),
        ((32, 64), (0, 0, 4, 4), (0, 0, 32)),
        ((32, 64), (60, 0, 64, 4), (0, 32, 32)),
        ((80, 20), (0, 70, 20, 75), (60, 0, 20)),
        ((32, 64), None, (0, 16, 32)),
    ],
)
def test_squares_worked_by_hand(
    size: tuple[int, int], box: tuple[int, int, int, int] | None, expected: tuple[int, int, int]
) -> None:
    assert square_around(*size, box) == expected


def test_no_box_is_ever_cut() -> None:
    draw = generator(0, "boxes")
    for _ in range(500):
        height, width = (int(value) for value in draw.integers(8, 60, 2))
        side = min(height, width)
        wide, tall = (int(value) for value in draw.integers(1, side + 1, 2))
        x0, y0 = int(draw.integers(0, width - wide + 1)), int(draw.integers(0, height - tall + 1))
        top, left, found = square_around(height, width, (x0, y0, x0 + wide, y0 + tall))
        assert found == side
        assert 0 <= top <= y0
        assert y0 + tall <= top + side <= height
        assert 0 <= left <= x0
        assert x0 + wide <= left + side <= width


def test_a_box_that_fits_no_square() -> None:
    with pytest.raises(InputError, match="no square of a picture of 32x64 holds a box of 8x40"):
        square_around(32, 64, (0, 0, 40, 8))
