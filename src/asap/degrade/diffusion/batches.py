"""Paint several pairs side by side, so that one call of the pipeline makes several images.

A pair needs one to three images, one after another. The function that makes a pair is therefore a generator: it yields
what is to be painted and receives the image.
"""

from collections.abc import Generator, Sequence

from asap.core.errors import BrokenImageError, InputError
from asap.core.photos import EditedPhoto
from asap.core.records import ByteArray
from asap.degrade.diffusion.inpainter import Inpainter, PaintRequest

__all__ = ["Painting", "paint_all"]

Painting = Generator[PaintRequest, ByteArray, EditedPhoto]


def paint_all(
    paintings: Sequence[Painting], inpainter: Inpainter, batch_size: int = 1
) -> list[EditedPhoto | InputError]:
    """Run ``paintings`` to their ends; one whose input is unfit, or whose image is broken, gives the error instead.

    Args:
        paintings: from ``inpaint_pair``, ``skeleton_pair`` and ``controlnet_pair``.
        inpainter: the model.
        batch_size: images per call at most. Only requests of one ``kind`` share a call.
    """
    results: list[EditedPhoto | InputError | None] = [None] * len(paintings)
    waiting: dict[int, PaintRequest] = {}

    def advance(place: int, image: ByteArray | BrokenImageError | None) -> None:
        try:
            if isinstance(image, BrokenImageError):
                raise image
            waiting[place] = next(paintings[place]) if image is None else paintings[place].send(image)
        except StopIteration as end:
            results[place] = end.value
        except InputError as error:
            results[place] = error

    for place in range(len(paintings)):
        advance(place, None)
    while waiting:
        for places in _calls(waiting, min(batch_size, inpainter.at_most or batch_size)):
            images = inpainter.paint([waiting.pop(place) for place in places])
            for place, image in zip(places, images, strict=True):
                advance(place, image)
    return [result for result in results if result is not None]


def _calls(waiting: dict[int, PaintRequest], most: int) -> list[list[int]]:
    """Places of the requests of each call, at most ``most``, in order."""
    groups: dict[object, list[int]] = {}
    for place, request in waiting.items():
        groups.setdefault(request.kind, []).append(place)
    return [group[start : start + most] for group in groups.values() for start in range(0, len(group), most)]
