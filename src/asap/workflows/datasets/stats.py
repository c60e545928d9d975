"""[pairs] -> counts, means and the content hash."""

from pathlib import Path
from typing import Any

from asap.stores.pairs import PairStore

__all__ = ["pair_stats"]


def pair_stats(folder: Path, *, split: str | None = None) -> dict[str, Any]:
    """Counts, means and the content hash of the store at ``folder``; see ``PairStore.stats``."""
    return PairStore.open(folder, split=split).stats()
