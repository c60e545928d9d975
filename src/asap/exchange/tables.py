"""Shared code of the formats with tables and JSON: Parquet shards, facts as text, fields of foreign rows."""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from asap.core.hashing import canonical_json
from asap.exchange.pair import Refused, SharedPair

__all__ = ["FACTS", "facts_of", "facts_text", "image_bytes", "parquet_bytes", "parse_pair"]

FACTS = "asap"
"""Column of the facts as JSON, which other readers ignore."""


def parquet_bytes(rows: Sequence[Mapping[str, object]], schema: Any, images: Sequence[str]) -> bytes:  # noqa: ANN401
    """The rows as one Parquet file.

    Columns in ``images`` are compressed already; the others are compressed with zstd.
    """
    table = pa.Table.from_pylist(list(rows), schema=schema)
    compression = {name: "zstd" for name in schema.names}
    compression |= {name: "none" for name in images}
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression=compression, use_dictionary=False, write_statistics=False)
    return buffer.getvalue()


def facts_text(pair: SharedPair) -> str:
    """The facts as JSON on one line."""
    return canonical_json(pair.facts)


def facts_of(value: object) -> dict[str, object] | Refused:
    """Parse facts from JSON text, bytes or a dictionary; empty for None."""
    if isinstance(value, str | bytes):
        try:
            value = json.loads(value)
        except ValueError as error:
            return Refused("bad_facts", f"wanted JSON, got {error}")
    if value is None:
        return {}
    return dict(value) if isinstance(value, dict) else Refused("bad_facts", f"wanted an object, got {value!r:.60}")


def image_bytes(value: object) -> bytes | None:
    """The bytes of an image column, plain or in the form of ``datasets``; None if there are none."""
    if isinstance(value, dict):
        value = value.get("bytes")
    return value if isinstance(value, bytes) and value else None


def parse_pair(
    *, chosen: object, rejected: object, prompt: object, mask: object, regions: object, facts: object
) -> SharedPair | Refused:
    """A pair from single fields: images as in ``image_bytes``, facts as in ``facts_of``."""
    known, sides = facts_of(facts), (image_bytes(chosen), image_bytes(rejected))
    if isinstance(known, Refused):
        return known
    for name, side in zip(("chosen", "rejected"), sides, strict=True):
        if side is None:
            return Refused(f"no_{name}_picture")
    if not isinstance(prompt, str):
        return Refused("no_prompt", f"wanted text, got {prompt!r:.60}")
    try:
        canonical_json([prompt, known]).encode()
    except (ValueError, TypeError) as error:  # NaN, an incomplete character, a value that is not JSON
        return Refused("bad_facts", " ".join(str(error).split())[:120])
    return SharedPair(
        key=str(known.get("uid", "")),
        prompt=prompt,
        chosen=sides[0] or b"",
        rejected=sides[1] or b"",
        mask=image_bytes(mask),
        regions=image_bytes(regions),
        split=str(known.get("split", "")),
        facts=known,
    )
