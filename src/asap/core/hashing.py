"""Content hashes: SHA-256 in hexadecimal, of bytes, of JSON values in a canonical form, and of files."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from asap.core.errors import InputError

__all__ = ["canonical_json", "digest", "digest_file", "digest_json", "digest_json_list", "to_plain"]

BLOCK = 1 << 20


def digest(data: bytes | bytearray | memoryview) -> str:
    """SHA-256 of ``data``, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def to_plain(value: object) -> object:
    """The JSON form of a numpy scalar or array, a path or a set; used as ``json.dumps(default=to_plain)``.

    Raises:
        TypeError: the value has no JSON form.
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def canonical_json(value: object) -> str:
    """``value`` as JSON with sorted keys and no spaces, so that equal values give equal text.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot represent.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=to_plain
    )


def digest_json(value: object) -> str:
    """SHA-256 of the canonical JSON of ``value``."""
    return digest(canonical_json(value).encode())


def digest_json_list(values: Iterable[object]) -> str:
    """``digest_json(list(values))`` with only one value in memory at a time."""
    hasher, separator = hashlib.sha256(b"["), b""
    for value in values:
        hasher.update(separator + canonical_json(value).encode())
        separator = b","
    hasher.update(b"]")
    return hasher.hexdigest()


def digest_file(path: Path | str) -> str:
    """SHA-256 of the content of a file, read in blocks.

    Raises:
        InputError: the file cannot be read.
    """
    hasher = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while block := file.read(BLOCK):
                hasher.update(block)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    return hasher.hexdigest()
