"""The protocol of an inpainter. ``pipeline.py`` implements it with diffusers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from asap.core.errors import BrokenImageError
from asap.core.records import BoolArray, ByteArray

__all__ = ["KINDS", "MAPS", "Inpainter", "PaintRequest"]

KINDS: Final = ("repaint", "skeleton", "guided")
"""Conditions of an inpainter: ``repaint`` text only, ``skeleton`` also a drawn skeleton, ``guided`` also maps of a
rendered body.
"""
MAPS: Final = ("pose", "depth", "normal")
"""Maps that a ControlNet can take."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PaintRequest:
    """One image to be painted."""

    image: ByteArray
    """(H, W, 3) the present content."""
    mask: BoolArray
    """(H, W) True where pixels are regenerated."""
    prompt: str
    """The wanted content."""
    seed: int
    """Of the noise."""
    strength: float
    """In (0, 1], how much of the present content is discarded."""
    control: Mapping[str, ByteArray] | None = None
    """An image (H, W, 3) for each of ``Inpainter.maps``."""
    negative: str = ""
    """Unwanted content; models without a negative prompt ignore it."""

    @property
    def kind(self) -> tuple[tuple[int, ...], float, bool]:
        """What the images of one call have in common: size, strength, and whether there is a negative prompt."""
        return self.image.shape, self.strength, bool(self.negative)


class Inpainter(Protocol):
    """A diffusion model that fills the masked part of images."""

    @property
    def name(self) -> str:
        """Name of the weights, as the manifest lists it."""

    @property
    def fingerprint(self) -> str:
        """Hash of the weights and of every setting that affects an image."""

    @property
    def size_multiple(self) -> int:
        """Height and width of an image must be multiples of this."""

    @property
    def native_size(self) -> int:
        """Pixels along the longer side at which the model works best."""

    @property
    def maps(self) -> tuple[str, ...]:
        """The maps of ``MAPS`` that ``control`` must contain; empty without a ControlNet."""

    @property
    def at_most(self) -> int | None:
        """Images per call at most; None for any number."""

    def paint(self, requests: Sequence[PaintRequest]) -> list[ByteArray | BrokenImageError]:
        """Regenerate the masked pixels of each image; its other pixels may change slightly, too.

        All requests have one ``kind``. An image depends on its own request alone, but for rounding.
        """

    def roundtrip(self, image: ByteArray) -> ByteArray:
        """Encode and decode ``image`` (H, W, 3): the traces of inpainting without its content."""
