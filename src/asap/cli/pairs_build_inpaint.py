"""``asap pairs build inpaint``."""

from dataclasses import dataclass

from asap.cli.building import Building, build
from asap.workflows.pairs.inpainting import Inpainting


@dataclass(frozen=True, kw_only=True)
class Command:
    """Build pairs of photographs: a diffusion model inpaints one body part of the rejected image."""

    pairs: Inpainting
    store: Building

    def run(self) -> None:
        """Build the store, and print its counts."""
        build(self.pairs, self.store)
