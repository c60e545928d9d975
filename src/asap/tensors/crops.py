"""Crops of an image for a model, placed so that a given box stays complete.

A box is x0, y0, x1, y1 in pixels, end exclusive; a frame is top, left, height, width.
"""

from asap.core.errors import InputError

__all__ = ["Box", "Frame", "bucket_sizes", "crop_around", "start_of"]

Box = tuple[int, int, int, int]
Frame = tuple[int, int, int, int]
FINEST = 16
"""Sides of buckets grow by a sixteenth of the resolution (64 pixels at 1024), or by one cell if that is more."""


def crop_around(height: int, width: int, shape: tuple[int, int], box: Box | None) -> Frame:
    """The largest frame with the aspect ratio of ``shape`` that contains ``box``, centred on it as far as possible.

    Args:
        height: of the image in pixels.
        width: of the image in pixels.
        shape: height and width, of which only the ratio counts; rounded down to whole pixels.
        box: must be complete in the frame; None for the middle of the image.

    Raises:
        InputError: the frame is too small for the box.
    """
    tall, wide = _largest(height, width, shape)
    x0, y0, x1, y1 = box or (0, 0, width, height)
    if box and (y1 - y0 > tall or x1 - x0 > wide):
        what = "square" if shape[0] == shape[1] else f"frame of {tall}x{wide}"
        raise InputError(f"no {what} of an image of {height}x{width} holds a box of {y1 - y0}x{x1 - x0}")
    return start_of(y0, y1, tall, height), start_of(x0, x1, wide, width), tall, wide


def _largest(height: int, width: int, shape: tuple[int, int]) -> tuple[int, int]:
    tall, wide = shape
    if height * wide <= width * tall:
        return height, max(1, height * wide // tall)
    return max(1, width * tall // wide), width


def start_of(low: int, high: int, side: int, length: int) -> int:
    """Start of ``side`` pixels that are centred on [low, high) and lie within [0, length)."""
    return min(max((low + high - side) // 2, 0), length - side)


def bucket_sizes(resolution: int, cell: int) -> list[tuple[int, int]]:
    """Heights and widths with an area of at most ``resolution`` squared, with aspect ratios from 1:4 to 4:1.

    At 1024 and cells of 8 they are among those of SDXL (arXiv:2307.01952, appendix I): short sides that are multiples
    of 64 from 512 on, each with the longest side that the area allows.

    Args:
        resolution: side of the square, a multiple of ``cell``.
        cell: both sides are multiples of it.
    """
    grain = -(-resolution // (FINEST * cell)) * cell
    sizes = {(resolution, resolution)}
    for short in range(-(-resolution // (2 * grain)) * grain, resolution, grain):
        long = resolution * resolution // short // grain * grain
        sizes |= {(short, long), (long, short)}
    return sorted(sizes)
