"""WebDataset: tar shards in which the files of one sample share the name before the first dot.

Source: "The WebDataset Format" in README.md and ``base_plus_ext`` in src/webdataset/tariterators.py of
webdataset/webdataset. A sample is KEY.chosen.png, KEY.rejected.png, KEY.mask.png, KEY.regions.png and KEY.json, whose
object has ``prompt`` and all facts.
"""

import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from asap.core.hashing import canonical_json
from asap.exchange.pair import Format, Refused, SharedPair, no_closing_note
from asap.exchange.tables import facts_of, parse_pair

__all__ = ["WEBDATASET"]

FIELDS: Final = ("chosen", "rejected", "mask", "regions")


def _shard(split: str, number: int, pairs: Sequence[SharedPair]) -> Iterator[tuple[str, bytes]]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for pair in pairs:
            for name, data in _members(pair):
                info = tarfile.TarInfo(name)  # time and owner stay 0, so that equal pairs give equal files
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    yield f"{split}-{number:05d}.tar", buffer.getvalue()


def _members(pair: SharedPair) -> Iterator[tuple[str, bytes]]:
    for name in FIELDS:
        data = getattr(pair, name)
        if data is not None:
            yield f"{pair.key}.{name}.png", data
    yield f"{pair.key}.json", canonical_json({**pair.facts, "prompt": pair.prompt}).encode()


def _parse(row: Mapping[str, object]) -> SharedPair | Refused:
    """A sample as {name after the first dot: bytes}. Images may have any ending; the text may be in KEY.txt."""
    facts = facts_of(row.get("json"))
    if isinstance(facts, Refused):
        return facts
    prompt = facts.pop("prompt", None)
    if prompt is None and isinstance(row.get("txt"), bytes):
        prompt = bytes(row["txt"]).decode(errors="replace").strip()  # type: ignore[call-overload]
    images = {name: _image(row, name) for name in FIELDS}
    return parse_pair(**images, prompt=prompt, facts=facts)


def _image(row: Mapping[str, object], name: str) -> object:
    return next((value for key, value in row.items() if key.partition(".")[0] == name), None)


WEBDATASET: Final = Format(
    name="webdataset",
    container="tar",
    shard=_shard,
    closing=no_closing_note,
    parse=_parse,
)
