"""``asap pairs build rendered``."""

from dataclasses import dataclass

from asap.cli.building import Building, build
from asap.workflows.pairs.rendered import Rendered


@dataclass(frozen=True, kw_only=True)
class Command:
    """Build pairs of rendered people: one body part of the rejected image is broken by an edit of the mesh."""

    pairs: Rendered
    store: Building

    def run(self) -> None:
        """Build the store, and print its counts."""
        build(self.pairs, self.store)
