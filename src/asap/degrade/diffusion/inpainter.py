"""What ``repaint``, ``skeleton`` and ``guided`` ask of a diffusion model; ``pipeline.py`` has one for diffusers."""

from collections.abc import Mapping
from typing import Final, Protocol

from asap.core.records import BoolArray, ByteArray

__all__ = ["KINDS", "MAPS", "Inpainter"]

KINDS: Final = ("repaint", "skeleton", "guided")
"""What a painter is for: text alone; a drawn skeleton besides; maps of a rendered body besides."""
MAPS: Final = ("pose", "depth", "normal")
"""Images that a ControlNet can be steered by."""


class Inpainter(Protocol):
    """A diffusion model that fills the masked part of an image; one call is one image, so no batch can matter."""

    @property
    def name(self) -> str:
        """Of the weights, as the manifest lists it."""

    @property
    def fingerprint(self) -> str:
        """Hash of the weights and of every setting that decides an image."""

    @property
    def size_multiple(self) -> int:
        """Height and width of ``image`` must be multiples of it."""

    @property
    def native_size(self) -> int:
        """Pixels along the longer side at which the model works best."""

    @property
    def maps(self) -> tuple[str, ...]:
        """Which of ``MAPS`` must be given as ``control``; empty without a ControlNet."""

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
        """``image`` (H, W, 3) with the pixels in ``mask`` (H, W) made anew; the others may change a little, too.

        Args:
            image: what is there now.
            mask: True where it is to be made anew.
            prompt: what is to be there.
            seed: decides the result, together with the other arguments and nothing else.
            strength: in (0, 1], how much of the old content is given up.
            control: an image (H, W, 3) for each of ``maps``.
            negative: what is not to be there; models without it take no notice.
        """

    def roundtrip(self, image: ByteArray) -> ByteArray:
        """``image`` (H, W, 3) through the model's encoder and decoder: the trace that painting leaves, without it."""
