import pytest

from asap.core.errors import InputError
from asap.core.seeds import generator
from asap.tensors.crops import bucket_sizes, crop_around

SQUARE = (1, 1)


@pytest.mark.parametrize(
    ("size", "shape", "box", "expected"),
    [
        ((32, 32), SQUARE, (3, 4, 9, 9), (0, 0, 32, 32)),
        ((32, 64), SQUARE, (28, 0, 36, 32), (0, 16, 32, 32)),
        ((32, 64), SQUARE, (0, 0, 4, 4), (0, 0, 32, 32)),
        ((32, 64), SQUARE, (60, 0, 64, 4), (0, 32, 32, 32)),
        ((80, 20), SQUARE, (0, 70, 20, 75), (60, 0, 20, 20)),
        ((32, 64), SQUARE, None, (0, 16, 32, 32)),
        ((32, 64), (2, 3), (60, 0, 64, 4), (0, 16, 32, 48)),
        ((64, 32), (3, 1), None, (0, 5, 64, 21)),
        ((32, 64), (1, 4), (0, 20, 8, 30), (16, 0, 16, 64)),
    ],
)
def test_crops_worked_by_hand(
    size: tuple[int, int],
    shape: tuple[int, int],
    box: tuple[int, int, int, int] | None,
    expected: tuple[int, int, int, int],
) -> None:
    assert crop_around(*size, shape, box) == expected


def test_no_box_is_ever_cut() -> None:
    draw = generator(0, "boxes")
    for _ in range(500):
        height, width, *shape = (int(value) for value in draw.integers(8, 60, 4))
        tall, wide = crop_around(height, width, (shape[0], shape[1]), None)[2:]
        assert tall == height or wide == width
        assert abs(tall * shape[1] - wide * shape[0]) < max(shape)
        across, down = int(draw.integers(1, wide + 1)), int(draw.integers(1, tall + 1))
        x0, y0 = int(draw.integers(0, width - across + 1)), int(draw.integers(0, height - down + 1))
        top, left, *found = crop_around(height, width, (shape[0], shape[1]), (x0, y0, x0 + across, y0 + down))
        assert found == [tall, wide]
        assert 0 <= top <= y0
        assert y0 + down <= top + tall <= height
        assert 0 <= left <= x0
        assert x0 + across <= left + wide <= width


def test_a_box_that_fits_no_crop() -> None:
    with pytest.raises(InputError, match="no square of an image of 32x64 holds a box of 8x40"):
        crop_around(32, 64, SQUARE, (0, 0, 40, 8))
    with pytest.raises(InputError, match="no frame of 16x64 of an image of 32x64 holds a box of 20x8"):
        crop_around(32, 64, (1, 4), (0, 0, 8, 20))


def test_the_shapes_of_a_large_model() -> None:
    """Nine short and long sides at 1024, as SDXL has them."""
    wide = [(short, long) for short, long in bucket_sizes(1024, 8) if short <= long]
    assert wide == [
        (512, 2048),
        (576, 1792),
        (640, 1600),
        (704, 1472),
        (768, 1344),
        (832, 1216),
        (896, 1152),
        (960, 1088),
        (1024, 1024),
    ]


@pytest.mark.parametrize(("resolution", "cell"), [(1024, 8), (1024, 32), (768, 16), (512, 8), (128, 128), (64, 16)])
def test_shapes_are_of_whole_cells_and_of_the_models_area(resolution: int, cell: int) -> None:
    sizes = bucket_sizes(resolution, cell)
    assert (resolution, resolution) in sizes
    assert {(width, height) for height, width in sizes} == set(sizes)
    for height, width in sizes:
        assert height % cell == width % cell == 0
        assert resolution**2 // 2 < height * width <= resolution**2
        assert max(height, width) <= 4 * min(height, width)
    if cell == resolution:
        assert sizes == [(resolution, resolution)]
