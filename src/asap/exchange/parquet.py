"""A preference table with the columns ``prompt``, ``chosen`` and ``rejected``, where the answers are images.

Names: "Preference" in docs/source/dataset_formats.md of huggingface/trl;
data-is-better-together/open-image-preferences-v1-binarized on the Hugging Face Hub has images under these names. The
trainers of TRL need text in ``chosen`` and ``rejected``, so this format is for readers of such tables, not for TRL.
``mask``, ``regions`` and ``asap`` (facts as JSON) are additional columns.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from asap.exchange.pair import Format, Refused, SharedPair, no_closing_note
from asap.exchange.tables import FACTS, facts_text, parquet_bytes, parse_pair

__all__ = ["PARQUET"]

IMAGES: Final = ("chosen", "rejected", "mask", "regions")


def _schema() -> Any:  # noqa: ANN401 - pyarrow ships no types
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    text = ("prompt", FACTS)
    features: dict[str, object] = {name: {"dtype": "string", "_type": "Value"} for name in text}
    features |= {name: {"_type": "Image"} for name in IMAGES}
    fields = [("prompt", pa.string()), *((name, image) for name in IMAGES), (FACTS, pa.string())]
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


SCHEMA: Final = _schema()


def _shard(split: str, number: int, pairs: Sequence[SharedPair]) -> Iterator[tuple[str, bytes]]:
    rows = [_row(pair) for pair in pairs]
    yield f"data/{split}-{number:05d}.parquet", parquet_bytes(rows, SCHEMA, [f"{name}.bytes" for name in IMAGES])


def _row(pair: SharedPair) -> dict[str, object]:
    images = {name: getattr(pair, name) for name in IMAGES}
    wrapped = {name: data and {"bytes": data, "path": None} for name, data in images.items()}
    return {"prompt": pair.prompt, **wrapped, FACTS: facts_text(pair)}


def _parse(row: Mapping[str, object]) -> SharedPair | Refused:
    return parse_pair(**{name: row.get(name) for name in (*IMAGES, "prompt")}, facts=row.get(FACTS))


PARQUET: Final = Format(
    name="parquet",
    container="parquet",
    shard=_shard,
    closing=no_closing_note,
    columns=("prompt", *IMAGES, FACTS),
    parse=_parse,
)
