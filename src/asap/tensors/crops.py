"""Which square of a picture a model is shown, so that the place that matters is never cut."""

from asap.core.errors import InputError

__all__ = ["square_around"]


def square_around(height: int, width: int, box: tuple[int, int, int, int] | None) -> tuple[int, int, int]:
    """(top, left, side) of the largest square of a picture that holds ``box`` whole, with the box as central as may be.

    Args:
        height: of the picture in pixels.
        width: of the picture in pixels.
        box: x0, y0, x1, y1, end exclusive; None for the middle of the picture.

    Raises:
        InputError: the box is longer than the picture's shorter side.
    """
    side = min(height, width)
    x0, y0, x1, y1 = box or (0, 0, width, height)
    if box and max(x1 - x0, y1 - y0) > side:
        raise InputError(f"no square of a picture of {height}x{width} holds a box of {y1 - y0}x{x1 - x0}")
    return _start(y0, y1, side, height), _start(x0, x1, side, width), side


def _start(low: int, high: int, side: int, length: int) -> int:
    """Where ``side`` pixels begin that are centred on [low, high) and lie within [0, length)."""
    return min(max((low + high - side) // 2, 0), length - side)
