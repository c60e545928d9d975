"""``asap pairs build controlnet``."""

from dataclasses import dataclass

from asap.cli.building import Building, build
from asap.workflows.pairs.controlnet import ControlNet


@dataclass(frozen=True, kw_only=True)
class Command:
    """Build photorealistic pairs: a ControlNet generates them from a rendered body and its broken copy."""

    pairs: ControlNet
    store: Building

    def run(self) -> None:
        """Build the store, and print its counts."""
        build(self.pairs, self.store)
