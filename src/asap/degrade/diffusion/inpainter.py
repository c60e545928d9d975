"""The protocol of an inpainter. ``pipeline.py`` implements it with diffusers."""

from collections.abc import Mapping
from typing import Final, Protocol

from asap.core.records import BoolArray, ByteArray

__all__ = ["KINDS", "MAPS", "Inpainter"]

KINDS: Final = ("repaint", "skeleton", "guided")
"""Conditions of an inpainter: ``repaint`` text only, ``skeleton`` also a drawn skeleton, ``guided`` also maps of a
rendered body.
"""
MAPS: Final = ("pose", "depth", "normal")
"""Maps that a ControlNet can take."""


class Inpainter(Protocol):
    """A diffusion model that fills the masked part of an image.

    One call makes one image, so results do not depend on batches.
    """

    @property
    def name(self) -> str:
        """Name of the weights, as the manifest lists it."""

    @property
    def fingerprint(self) -> str:
        """Hash of the weights and of every setting that affects an image."""

    @property
    def size_multiple(self) -> int:
        """Height and width of ``image`` must be multiples of this."""

    @property
    def native_size(self) -> int:
        """Pixels along the longer side at which the model works best."""

    @property
    def maps(self) -> tuple[str, ...]:
        """The maps of ``MAPS`` that ``control`` must contain; empty without a ControlNet."""

    def paint(
        self,
        image: ByteArray,
        mask: BoolArray,
        prompt: str,
        *,
        seed: int,
        strength: float,
        control: Mapping[str, ByteArray] | None = None,
        negative: str = "",
    ) -> ByteArray:
        """Regenerate the pixels of ``image`` (H, W, 3) in ``mask`` (H, W). The other pixels may change slightly, too.

        Args:
            image: the present content.
            mask: True where pixels are regenerated.
            prompt: the wanted content.
            seed: the result depends on the seed and the other arguments only.
            strength: in (0, 1], how much of the present content is discarded.
            control: an image (H, W, 3) for each of ``maps``.
            negative: unwanted content; models without a negative prompt ignore it.
        """

    def roundtrip(self, image: ByteArray) -> ByteArray:
        """Encode and decode ``image`` (H, W, 3): the traces of inpainting without its content."""
