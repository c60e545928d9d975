"""Shared code of the formats that are image folders.

A one-sided trainer learns from SPLIT/chosen/KEY.png with KEY.txt beside it. SPLIT/rejected/KEY.png is in a separate
folder, so that broken anatomy is not trained by accident. The mask is where the tool expects it. ``pairs/*.jsonl`` at
the top has prompt and facts of every pair, for our own import. Part maps are not exported.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from asap.core.hashing import canonical_json
from asap.exchange.pair import Refused, SharedPair
from asap.exchange.tables import parse_pair

__all__ = ["SIDECARS", "caption_line", "folder_shard", "parse_folder"]

SIDECARS: Final = "pairs"
"""Folder of the files with one JSON object per pair: ``key``, ``split``, ``prompt`` and ``facts``."""


def caption_line(prompt: str) -> str:
    """The prompt on one line, because the tools read further lines as further captions."""
    return " ".join(prompt.split())


def folder_shard(
    layout: Mapping[str, str], split: str, number: int, pairs: Sequence[SharedPair]
) -> Iterator[tuple[str, bytes]]:
    """All files of some pairs, placed as ``layout`` defines (see ``Format.layout``), and their lines of JSON."""
    for pair in pairs:
        for name in ("chosen", "rejected", "mask"):
            data = getattr(pair, name)
            if data is not None:
                yield f"{split}/{layout[name].format(pair.key)}.png", data
        yield f"{split}/{layout['text'].format(pair.key)}.txt", caption_line(pair.prompt).encode()
    lines = [
        canonical_json({"key": pair.key, "split": split, "prompt": pair.prompt, "facts": pair.facts}) for pair in pairs
    ]
    yield f"{SIDECARS}/{split}-{number:05d}.jsonl", "".join(f"{line}\n" for line in lines).encode()


def parse_folder(row: Mapping[str, object]) -> SharedPair | Refused:
    """A pair from ``chosen``, ``rejected`` and ``mask`` (bytes), and ``prompt`` and ``facts`` or ``text`` (bytes)."""
    prompt, text = row.get("prompt"), row.get("text")
    if prompt is None and isinstance(text, bytes):
        prompt = text.decode("utf-8", errors="replace").strip()
    images = {name: row.get(name) for name in ("chosen", "rejected", "mask")}
    return parse_pair(**images, regions=None, prompt=prompt, facts=row.get("facts"))
