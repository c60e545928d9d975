"""``asap pairs build photos``."""

from dataclasses import dataclass

from asap.cli.building import Building, build
from asap.workflows.pairs.photos import Photos


@dataclass(frozen=True, kw_only=True)
class Command:
    """Build pairs of photographs: one body part of the rejected image is warped, removed or grafted.

    The file sources.jsonl in the store lists the result for every photograph.
    """

    pairs: Photos
    store: Building

    def run(self) -> None:
        """Build the store, and print its counts."""
        build(self.pairs, self.store)
