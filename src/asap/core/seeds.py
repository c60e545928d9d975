"""Random numbers without global state: a seed and a path of keys identify each random stream."""

import operator
from hashlib import blake2b
from typing import SupportsIndex

import numpy as np

__all__ = ["derive", "generator"]


def derive(seed: SupportsIndex, *keys: str | SupportsIndex) -> int:
    """A 63-bit seed in [0, 2**63) that depends on ``seed`` and every key, and on their order and types.

    Text and integer keys of the same spelling differ (``"1"`` and ``1``), and keys are delimited (``"ab", "c"`` and
    ``"a", "bc"``). Integers may be numpy's. 63 bits fit torch's and Parquet's signed int64.

    Raises:
        TypeError: a key is neither text nor an integer.
    """
    parts = []
    for key in (seed, *keys):
        tag, text = ("s", key) if isinstance(key, str) else ("i", str(operator.index(key)))
        data = text.encode()
        parts.append(f"{tag}{len(data)}:".encode() + data)
    return int.from_bytes(blake2b(b"".join(parts), digest_size=8).digest(), "big") >> 1


def generator(seed: SupportsIndex, *keys: str | SupportsIndex) -> np.random.Generator:
    """A fresh numpy generator (PCG64) seeded with ``derive(seed, *keys)``."""
    return np.random.default_rng(derive(seed, *keys))
