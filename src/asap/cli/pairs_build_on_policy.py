"""``asap pairs build on-policy``."""

from dataclasses import dataclass

from asap.cli.building import Building, build
from asap.workflows.pairs.on_policy import OnPolicy


@dataclass(frozen=True, kw_only=True)
class Command:
    """Build pairs of a model's own errors: it regenerates one body part of rendered people."""

    pairs: OnPolicy
    store: Building

    def run(self) -> None:
        """Build the store, and print its counts."""
        build(self.pairs, self.store)
