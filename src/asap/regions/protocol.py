"""The protocol of landmarkers."""

from typing import Protocol

from asap.core.photos import PartRegion
from asap.core.records import ByteArray

__all__ = ["Landmarker"]


class Landmarker(Protocol):
    """Finds parts of people. It can be pickled, and equal images give equal answers in every process."""

    @property
    def name(self) -> str:
        """Its name in ``LANDMARKERS``; every region carries it as ``instrument``."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of its weights and settings, for the manifest."""
        ...

    def find(self, image: ByteArray) -> tuple[PartRegion, ...]:
        """Parts in (H, W, 3) sRGB ``image``, people by size, the largest first; empty where nobody is."""
        ...
