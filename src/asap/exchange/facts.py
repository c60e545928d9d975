"""The facts of a data set from which its card and metadata are generated, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from asap.exchange.statements import NOT_STATED, Owner, Tally

__all__ = ["PAPER", "CardFacts", "GateMean", "Shard", "url_of"]

PAPER: Final = {
    "region_ssim": 0.5315,
    "background_ssim": 0.9827,
    "region_lpips": 0.3446,
    "background_lpips": 0.0109,
}
"""Means over the data set HAP of arXiv:2605.25759, as stated in its figure."""


@dataclass(frozen=True, kw_only=True)
class GateMean:
    """A mean over pairs with a defect and its 95 % interval, clustered by person; None if it was not measured."""

    value: float | None
    ci: tuple[float, float] | None
    n: int


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One file of the data set."""

    name: str
    """Path relative to the data set."""
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """All facts of a card."""

    owner: Owner
    tallies: tuple[Tally, ...]
    pairs: int
    people: int
    sizes: Mapping[str, int]
    """"WIDTHxHEIGHT" to pairs."""
    counts: Mapping[str, Mapping[str, int]]
    """"kind", "split", "part", "operation", "severity", "category" to value to pairs."""
    cells: Mapping[tuple[str, str], int]
    """(part, operation) of defects to pairs."""
    gates: Mapping[str, GateMean]
    """The names of ``PAPER``."""
    largest_difference: float
    """Largest absolute difference outside a mask, in grey levels 0 to 255."""
    refused: Mapping[str, int]
    """Rejected candidates by reason."""
    config: Mapping[str, object]
    parents: tuple[tuple[str, str], ...]
    """Kind and content hash of the parents."""
    instruments: tuple[tuple[str, str, str], ...]
    """Role, name, fingerprint."""
    versions: Mapping[str, str]
    content_hash: str
    shards: tuple[Shard, ...]
    columns: Mapping[str, str]
    """Kind of each column by name: image, text, integer, number or list."""
    date: str
    """Date on which the card was written, YYYY-MM-DD."""
    has_recipe: bool = False

    @property
    def made_of(self) -> str:
        """bodies, photographs or import."""
        return str(self.config.get("source", NOT_STATED))

    @property
    def name(self) -> str:
        """The owner's name for the set, or one derived from its content."""
        return self.owner.name or f"anatomy pairs {self.content_hash[:8]}"


def url_of(facts: CardFacts) -> str:
    """The address of the set, or a URN of its content if there is none."""
    return facts.owner.url or f"urn:sha256:{facts.content_hash}"
